import { expect, test } from "vitest";
import { StopStrings } from "../../src/train/stop-strings.ts";

/** What is shown of a text that comes in pieces. */
function shown(stops: string[], pieces: string[]): string {
  const filter = new StopStrings(stops);
  let text = "";
  for (const piece of pieces) {
    text += filter.push(piece);
    if (filter.stopped) return text;
  }
  return text + filter.flush();
}

test("the text ends before a stop string, however it is cut", () => {
  const text = "one two END three";
  for (let at = 0; at <= text.length; at++)
    expect(shown(["END"], [text.slice(0, at), text.slice(at)])).toBe("one two ");
  expect(shown(["END"], [...text])).toBe("one two ");
});

test("the earliest of several wins", () => {
  expect(shown(["three", "two"], ["one two three"])).toBe("one ");
});

test("the start of a stop string that does not come is shown in the end", () => {
  expect(shown(["END"], ["the E", "N", "E"])).toBe("the ENE");
  expect(shown(["END"], ["the EN"])).toBe("the EN");
});

test("an empty string is refused, which every text would end before", () => {
  expect(() => new StopStrings(["END", ""])).toThrow("a stop string is empty");
});

test("a stop string longer than the text, or one that begins anew inside itself", () => {
  expect(shown(["a".repeat(50)], ["aaa", "aa"])).toBe("aaaaa");
  expect(shown(["aab"], [..."aaab"])).toBe("a");
  expect(shown(["abab!"], [..."ababab!"])).toBe("ab");
});

test("special tokens are searched and never shown", () => {
  const run = (stops: string[], ...pieces: (string | { special: string })[]) => {
    const filter = new StopStrings(stops);
    let text = "";
    for (const piece of pieces) {
      text += typeof piece === "string" ? filter.push(piece) : filter.pushHidden(piece.special);
      if (filter.stopped) return `${text}|`;
    }
    return text + filter.flush();
  };
  const end = { special: "<end>" };
  expect(run([], "a", end, "b")).toBe("ab");
  expect(run(["<end>"], "a", end, "b")).toBe("a|");
  expect(run(["<end>\n"], "a", end, "b", end, "\n")).toBe("ab|");
  expect(run([".<end>"], "a", ".", "b.", end)).toBe("a.b|");
  expect(run(["<end><end>"], "a", end, "b", end, end)).toBe("ab|");
  expect(run(["d>b"], "a", end, "b")).toBe("a|"); // part of it
  expect(run(["<end>"], "a<e", "nd>")).toBe("a|"); // its letters, as transformers
  expect(run(["<end>x"], "a", end)).toBe("a");
});

test("nothing that could belong to a stop string is shown early", () => {
  const filter = new StopStrings(["\n\n"]);
  expect(filter.push("a\n")).toBe("a");
  expect(filter.push("b")).toBe("\nb");
});
