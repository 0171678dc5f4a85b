import { expect, test } from "vitest";
import { attempt, fail, failAll, LoraError, Problems } from "../../src/util/fail.ts";
import { printable, printableText } from "../../src/util/printable.ts";

function messageOf(task: () => unknown): string {
  try {
    task();
  } catch (error) {
    if (error instanceof LoraError) return error.message;
    throw error;
  }
  return "nothing was thrown";
}

test("of a million problems the first 20 are shown and the others counted", () => {
  const message = messageOf(() => failAll("file", Array<string>(1_000_000).fill("is wrong"), "mend it"));
  const lines = message.split("\n");
  expect(lines).toHaveLength(1 + 20 + 1 + 1);
  expect(lines[0]).toBe("file: 1000000 problems:");
  expect(lines[20]).toBe("  - is wrong");
  expect(lines[21]).toBe("  - and 999980 more");
  expect(lines[22]).toBe("  → mend it");
});

test("a list of problems keeps no more than it shows", () => {
  const problems = new Problems();
  for (let i = 0; i < 1000; i++) problems.push(`problem ${i}`);
  expect(problems.length).toBe(1000);
  expect(problems.shown).toHaveLength(20);
});

test("names in a message can neither move the cursor nor begin a line of their own", () => {
  const name = "a\u001b[2J\u009b1A\u202e\r\nerror: all is well\u2028\u007f\u{e0041}";
  const escaped = "a\\u001b[2J\\u009b1A\\u202e\\r\\nerror: all is well\\u2028\\u007f\\udb40\\udc41";
  expect(messageOf(() => fail(name, `${name} is wrong`, `rename ${name}`))).toBe(
    `${escaped}: ${escaped} is wrong\n  → rename ${escaped}`,
  );
  expect(messageOf(() => failAll("file", [name]))).toBe(`file: 1 problem:\n  - ${escaped}`);
});

test("a report within a report keeps its lines", async () => {
  const problems = new Problems();
  await attempt(problems, async () => failAll("part", ["one", "two"], "mend both"));
  expect(messageOf(() => failAll("whole", problems))).toBe(
    "whole: 1 problem:\n  - part: 2 problems:\n      - one\n      - two\n      → mend both",
  );
});

test("a long line of a message loses its middle, not its reason", () => {
  const message = messageOf(() => fail("file", `${"x".repeat(1e6)}: dtype "X" is unknown`));
  expect(message.length).toBeLessThan(2100);
  expect(message).toMatch(/^file: x+ … \(998022 characters\) … x+: dtype "X" is unknown$/);
});

test("text of all scripts is printable, and so are emoji of several characters", () => {
  for (const text of ["naïve “日本語” العربية", "👩‍👩‍👧", "می‌خواهم"]) expect(printable(text)).toBe(text);
});

test("text of several lines keeps line ends and tabs", () => {
  expect(printableText("a\tb\nc\u001b[0m\r")).toBe("a\tb\nc\\u001b[0m\\r");
});
