import { expect, test } from "vitest";
import { largestThatFits } from "../../../src/train/plan/search.ts";

/** Finds it, and counts what was measured. */
async function search(answer: number, total: (n: number) => number, room?: number) {
  let measured = 0;
  const found = await largestThatFits(
    async (n) => {
      measured++;
      return { fits: n <= answer, total: total(n) };
    },
    { least: 1, most: 1000, room },
  );
  return { found, measured };
}

test.each([0, 1, 2, 3, 64, 100, 999, 1000, 5000])("finds %d, by halves and by the line", async (answer) => {
  const wanted = answer === 0 ? undefined : Math.min(answer, 1000);
  expect((await search(answer, () => 0)).found).toBe(wanted);
  const line = (n: number) => 50 + 3 * n;
  const { found, measured } = await search(answer, line, line(answer));
  expect(found).toBe(wanted);
  expect(measured).toBeLessThanOrEqual(4);
  const curve = (n: number) => 50 + n * n;
  expect((await search(answer, curve, curve(answer))).found).toBe(wanted);
});
