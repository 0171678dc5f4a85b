import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { EventsFile } from "../../../src/cli/watch/events-file.ts";
import { stepEntry } from "../../../src/train/watch/log-entry.ts";
import { distributionOf } from "../../../src/util/distribution.ts";
import { stepMetrics } from "../../support/step-metrics.ts";

const folder = mkdtempSync(join(tmpdir(), "webgpu-lora-events-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const entry = (step: number) => stepEntry(stepMetrics(step));

/** The messages of an event file. */
function messagesOf(path: string): Buffer[] {
  const bytes = readFileSync(path);
  const messages: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = Number(bytes.readBigUInt64LE(at));
    messages.push(bytes.subarray(at + 12, at + 12 + length));
    at += length + 16;
  }
  return messages;
}

/** Field 7, a session that starts. */
const RESTART = Buffer.of(0x3a, 2, 8, 1);

test("a run is one file; one that goes on adds another, which sorts behind it and voids the steps it computes again", () => {
  const runs = join(folder, "runs");
  const begun = new EventsFile(folder, () => {});
  for (const step of [1, 2, 3]) begun.add(entry(step));
  const changes = { "model.layers.0": distributionOf([0.6, -0.8]) };
  begun.norms({ step: 3, since: 0, norms: { "model.layers.0": 1 }, changes });
  begun.samples({ step: 3, samples: [{ prompt: "Tom\nput", text: " 3 keys" }] });
  begun.close();
  const [first = ""] = readdirSync(runs);
  const messages = messagesOf(join(runs, first)).map(String);
  expect(messages).toHaveLength(7);
  expect(messages[0]).toContain("brain.Event:2");
  expect(messages[2]).toMatch(/train\/loss[\s\S]*train\/grad_norm[\s\S]*train\/epoch/);
  expect(messages[5]).toMatch(/update_norm[\s\S]*update\/model\.layers\.0/);
  expect(messages[6]).toContain("    Tom\n    put\n\n     3 keys");

  const resumed = new EventsFile(folder, () => {});
  resumed.goOnFrom(2, [entry(1), entry(2)]);
  resumed.add(entry(3));
  resumed.close();
  const [, second = ""] = readdirSync(runs).sort();
  expect(second).not.toBe("");
  const [, restart, , step] = messagesOf(join(runs, second));
  expect(restart?.subarray(9, 11)).toEqual(Buffer.of(0x10, 3)); // step 3
  expect(restart?.includes(RESTART)).toBe(true);
  expect(String(step)).toContain("train/loss");
});

test("events of a run that had none begin with what metrics.jsonl knows; a place that is none is told", () => {
  const late = join(folder, "late");
  const told: string[] = [];
  const events = new EventsFile(late, (line) => told.push(line));
  events.goOnFrom(2, [entry(1), { step: 2, epoch: 1, eval_loss: 1 }]);
  events.add(entry(3));
  events.close();
  const messages = messagesOf(join(late, "runs", readdirSync(join(late, "runs"))[0] ?? "")).map(String);
  expect(messages.filter((message) => /train\/loss|eval\/loss/.test(message))).toHaveLength(3);
  expect(told).toEqual([]);

  writeFileSync(join(folder, "file"), "");
  const nowhere = new EventsFile(join(folder, "file"), (line) => told.push(line));
  for (const step of [1, 2]) nowhere.add(entry(step));
  expect(told).toEqual([
    expect.stringMatching(/^warning: .*runs cannot be made: ENOTDIR/),
    expect.stringMatching(/^warning: .*is not written, the training goes on: ENOTDIR/),
  ]);
});
