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
  expect(shown([""], ["text"])).toBe("text");
});

test("nothing that could belong to a stop string is shown early", () => {
  const filter = new StopStrings(["\n\n"]);
  expect(filter.push("a\n")).toBe("a");
  expect(filter.push("b")).toBe("\nb");
});
