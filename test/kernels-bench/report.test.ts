import { describe, expect, test } from "vitest";
import { compareReports, formatComparison } from "../../kernels-bench/compare.ts";
import { summarize } from "../../kernels-bench/measure.ts";
import { reportPage } from "../../kernels-bench/report.ts";
import { type BenchResult, parseReport, serializeReport } from "../../kernels-bench/result.ts";
import { digits, formatReport } from "../../kernels-bench/table.ts";
import { reportOf, resultOf } from "./made-up.ts";

describe("a comparison takes the noise into account", () => {
  const before = reportOf([resultOf("a", 10), resultOf("b", 10), resultOf("c", 10), resultOf("gone", 1)]);
  const after = reportOf([resultOf("a", 12), resultOf("b", 10.8), resultOf("c", 8), resultOf("new", 1)]);

  test("only quartiles that do not overlap count", () => {
    const verdicts = compareReports(before, after).map(({ name, verdict }) => [name, verdict]);
    expect(verdicts).toEqual([
      ["a T128", "slower"],
      ["b T128", "noise"],
      ["c T128", "faster"],
    ]);
  });

  test("the text names what became slower, by how much", () => {
    const text = formatComparison(before, after).join("\n");
    expect(text).toMatch(/1 slower, 1 faster, 1 within the noise/);
    expect(text).toMatch(/slower:\n {2}a T128 +10\.0 ms \(9\.50 … 10\.5\) +→ +12\.0 ms .* × 1\.20/);
  });

  test("another machine is mentioned", () => {
    const other = {
      ...after,
      device: { ...after.device, name: "another" },
      peak: { gflops: 500, gbps: 100 },
    };
    const text = formatComparison(before, other).join("\n");
    expect(text).toMatch(/the devices differ: Made & Up <GPU> then, another now/);
    expect(text).toMatch(/measured peak was 1000 GFLOP\/s then, 500 now/);
    expect(text).not.toMatch(/GB\/s/);
  });
});

describe("a result file", () => {
  const report = reportOf([resultOf("a", 10 / 3)]);

  test("comes back as it was, to six digits", () => {
    const again = parseReport(serializeReport(report), "old.json");
    expect(again.results[0]?.median).toBe(3.33333);
    expect(again.device).toEqual(report.device);
  });

  test.each([
    ["no JSON", "{", /old\.json: is no JSON/],
    ["another file", "[1]", /is no result of the benchmark\n.*webgpu-lora bench has written/],
    ["null", "null", /is no result of the benchmark/],
    [
      "another version",
      JSON.stringify({ ...report, version: 2, package: "9.9.9" }),
      /is a result of version 2 \(by webgpu-lora 9\.9\.9\); this program reads version 1\n.*run the benchmark again/,
    ],
    ["half a file", JSON.stringify({ ...report, results: [{}] }), /but not a whole one/],
  ])("refuses %s", (_, text, message) => {
    expect(() => parseReport(text, "old.json")).toThrow(message);
  });
});

describe("the page", () => {
  const skipped = [{ name: "x T1", reason: "no time" }];
  const page = reportPage(reportOf([resultOf("a<b>", 10)], { skipped, notes: ["no subgroups"] }));

  test("stands alone: no script, and nothing is loaded", () => {
    expect(page).not.toMatch(/<script|https?:|src=|url\(|@import|<link/);
  });

  test("has the plot, the figures, the notes, and what is left out, all escaped", () => {
    expect(page).toMatch(/<svg [\s\S]*<polyline class="roof"[\s\S]*<circle/);
    expect(page).toContain("Made &amp; Up &lt;GPU&gt;");
    expect(page).toContain("a&lt;b&gt;");
    expect(page).toContain("no subgroups");
    expect(page).toContain("x T1 — no time");
    expect(page).not.toContain("a<b>");
  });

  test("fits phones and dark rooms", () => {
    expect(page).toContain('name="viewport" content="width=device-width');
    expect(page).toContain("prefers-color-scheme: dark");
  });

  test("of nothing has the roof, and says why there is nothing below it", () => {
    const spent = [{ name: "x T1", reason: "the time budget of 5 s is used up" }];
    const page = reportPage(reportOf([], { skipped: spent, budgetSeconds: 5 }));
    expect(page).toMatch(/<polyline class="roof" points="[\d., ]+"/);
    expect(page).not.toMatch(/NaN|Infinity|<circle|All figures/);
    expect(reportPage(reportOf([], { skipped }))).toMatch(/nothing was timed: no time\.</);
    expect(page).toMatch(/nothing was timed: the time budget of 5 s is used up\. Give more than 5 seconds/);
  });

  test("of kernels without operations says why they have no point", () => {
    const { flops: _, gflops: __, ...without }: BenchResult = resultOf("copy", 10);
    const page = reportPage(reportOf([without]));
    expect(page).toMatch(/<polyline class="roof"/);
    expect(page).toMatch(/has no point here/);
    expect(page).toContain("All figures");
  });
});

test("the table names what was left out and why", () => {
  const skipped = [
    { name: "big", reason: "the time budget of 60 s is used up" },
    { name: "x", reason: "no buffer" },
  ];
  const failed = [{ name: "bad", reason: "wrong at [0]" }];
  const text = formatReport(reportOf([resultOf("a", 0.0123)], { skipped, failed })).join("\n");
  expect(text).toMatch(/a T128 +0\.0123 .* 50 %/);
  expect(text).toMatch(/left out for the time budget of 60 s: 1 of the larger sizes/);
  expect(text).toMatch(/left out, no buffer: x/);
  expect(text).toMatch(/WRONG: bad: wrong at \[0\]/);
});

test("medians and quartiles", () => {
  expect(summarize([5, 1, 3, 2, 4])).toEqual({
    median: 3,
    fastest: 1,
    slowest: 5,
    lower: 2,
    upper: 4,
    samples: 5,
  });
  expect(summarize([1, 2]).median).toBe(1.5);
});

test.each([
  [1234.5, "1235"],
  [12.345, "12.3"],
  [1.2345, "1.23"],
  [0.012345, "0.0123"],
  [0.00000012, "0.000000"],
  [0, "0"],
])("three digits of %f", (value, text) => {
  expect(digits(value)).toBe(text);
});
