import { expect, test } from "vitest";
import { expectSmoke, smokeInNode } from "./environment.ts";
import type { SmokeReport } from "./smoke.ts";

// Deno and Chromium run the same in deno.test.ts and browser.test.ts.
test("In Node the smoke suite holds", async () => {
  const report = await smokeInNode();
  await expectSmoke(report, report);
  const others: readonly [string, SmokeReport][] = [
    [
      "logits",
      { ...report, measured: { ...report.measured, logits: report.measured.logits.map((x) => x + 1e-3) } },
    ],
    ["tokens", { ...report, measured: { ...report.measured, tokens: report.measured.baseTokens } }],
    ["merged", { ...report, measured: { ...report.measured, mergedLoss: report.measured.loss } }],
    ["losses", { ...report, learnt: { ...report.learnt, losses: report.learnt.losses.toReversed() } }],
  ];
  for (const [what, other] of others) await expect(expectSmoke(other, report), what).rejects.toThrow();
});
