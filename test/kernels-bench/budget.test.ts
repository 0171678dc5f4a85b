import { expect, test } from "vitest";
import { Budget, ladders } from "../../kernels-bench/budget.ts";
import { sized } from "../../kernels-bench/harness.ts";
import type { Measurement } from "../../kernels-bench/measure.ts";

const unused = () => {
  throw new Error("not run");
};
const caseOf = (work: number) => sized("op", `P${work}`, work, unused);

function took(median: number, preparation: number): Measurement {
  const spread = { median, fastest: median, slowest: median, lower: median, upper: median, samples: 3 };
  return { spread, cost: { total: 3 * median + preparation, preparation } };
}

test("nothing runs after the end", () => {
  let now = 0;
  const budget = new Budget(10, 4, () => now);
  expect(budget.objection(caseOf(1))).toBeUndefined();
  now = 10_000;
  expect(budget.objection(caseOf(1))).toBe("the time budget of 10 s is used up");
});

test("a size is predicted from the one before it", () => {
  const budget = new Budget(10, 4, () => 0);
  budget.learn(caseOf(10), took(20, 150));
  expect(budget.objection(caseOf(100))).toBeUndefined(); // about 2 s of 10
  expect(budget.objection(caseOf(200))).toMatch(/would take about 4 s, too much of the time budget of 10 s/);
  const unknown = sized("another op", "P200", 200, unused);
  expect(budget.objection(unknown)).toBeUndefined();
});

test("time is shared between the cases, within limits", () => {
  expect(new Budget(60, 100, () => 0).timing).toBe(300);
  expect(new Budget(60, 1, () => 0).timing).toBe(1000);
  expect(new Budget(1, 500, () => 0).timing).toBe(40);
});

test("ladders go from small to large", () => {
  const other = sized("other", "P5", 5, unused);
  expect(ladders([caseOf(3), other, caseOf(1), caseOf(2)])).toEqual([
    [caseOf(1), caseOf(2), caseOf(3)],
    [other],
  ]);
});

test("a run that takes much longer than predicted is not repeated", () => {
  const budget = new Budget(100, 4, () => 0);
  expect(budget.allowance()).toEqual({ timing: 1000, first: 25_000 });
});
