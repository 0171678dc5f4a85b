import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import * as node from "../../src/index.node.ts";
import * as web from "../../src/index.web.ts";
import { BUNDLED_MODEL, openTestModel } from "../support/fixtures.ts";

const ROWS = Array.from({ length: 12 }, (_, i) => ({ text: `Tom found ${i} pink candles in the barn.` }));
const json = (rows: readonly object[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");
const packed = (rows: readonly object[]) =>
  web.blobFile("rows.jsonl.gz", new Blob([new Uint8Array(gzipSync(json(rows)))]));
const plain = (name: string, text: string) => web.blobFile(name, new Blob([text]));

test("rows of a Blob are read as what is asked for, without a device", async () => {
  expect((await web.readRows(packed(ROWS))).rows).toEqual(ROWS);
  const { rows, nameOf, notes } = await web.readRows(plain("a.csv", "t,l\na,1\nb,\nc,0\n"), {
    as: "labelled-texts",
    columns: { text: "t", label: "l" },
    onBadRow: "skip",
  });
  expect(rows).toEqual([
    { text: "a", label: "1" },
    { text: "c", label: "0" },
  ]);
  expect([nameOf(1), notes.join("\n")]).toEqual(["a.csv:4", expect.stringContaining("1 bad row left out")]);
  await expect(web.readRows(plain("a.csv", "t,l\na,1\n"))).rejects.toThrow(/a\.csv:2: has keys "t", "l"/);
});

test("data is looked at as `inspect` does, in memory and as it is needed", async () => {
  const model = await node.loadModelText(BUNDLED_MODEL);
  const twice = [...ROWS, ROWS[0] as object];
  const { report, rows } = await web.inspectData(model, await web.readRows(packed(twice)), { maxLength: 16 });
  expect(report).toMatchObject({
    rows: 13,
    findings: [{ kind: "duplicate", examples: ["rows.jsonl.gz:13"] }],
  });
  expect(rows[0]?.tokens[1]).toMatchObject({ role: "trained" });
  const streamed = await web.inspectData(model, await web.streamRows(packed(twice)), { maxLength: 16 });
  expect(streamed).toEqual({ report, rows });
  const judged = await web.inspectData(model, ROWS, { judged: ROWS.slice(3, 4) });
  expect(judged.report.findings).toMatchObject([{ kind: "overlap", rows: 1, examples: ["row 4"] }]);
  const pair = { prompt: "Who?", chosen: "Tom.", rejected: "Ben." };
  const preferences = await web.readRows(plain("p.jsonl", json([pair, pair])), { as: "preferences" });
  const compared = await web.inspectData(model, preferences);
  expect(compared.report.answers).toMatchObject([{ name: "chosen" }, { name: "rejected" }]);
  await expect(web.inspectData(model, [...preferences.rows, ...ROWS])).rejects.toThrow(
    /has rows that say which/,
  );
});

test("a plain text is looked at in whole, and need not end", async () => {
  const model = await node.loadModelText(BUNDLED_MODEL);
  const text = plain("book.txt", ROWS.map(({ text }) => text).join("\n"));
  const { report, rows } = await web.inspectData(model, await web.readRows(text), { maxLength: 16 });
  expect(report).toMatchObject({ rows: 1, maxLength: 16, truncated: 0, findings: [] });
  expect(report.labelTokens).toBe(report.tokens - 1);
  expect(rows[0]?.tokens).toHaveLength(16);
});

test("classes are those of the rows where nobody names them", async () => {
  const model = await node.loadModelText(BUNDLED_MODEL);
  const file = plain(
    "a.jsonl",
    json([
      { text: "a b", label: "x" },
      { text: "c d", label: "y" },
    ]),
  );
  const task = "sequence-classification" as const;
  const { report } = await web.inspectData(model, await web.readRows(file, { as: "labelled-texts" }), {
    task,
  });
  expect(report.labels).toEqual([
    { name: "x", count: 1 },
    { name: "y", count: 1 },
  ]);
  const stream = await web.streamRows(file, { as: "labelled-texts" });
  await expect(web.inspectData(model, stream, { task })).rejects.toThrow(/nothing says what the classes are/);
  await expect(web.inspectData(model, stream, { task, labels: ["x", "y"] })).resolves.toMatchObject({
    report,
  });
});

test("train and evaluate take rows that are read when they are needed, and do with them what they do with a list", async () => {
  const options = { batchSize: 2, maxSteps: 5, maxLength: 16, seed: 3 };
  const losses = async (examples: Parameters<typeof node.train>[2]) => {
    const model = await openTestModel(BUNDLED_MODEL);
    const adapter = node.attach(model, node.lora({ r: 2 }));
    const steps: number[] = [];
    for await (const { loss } of node.train(model, adapter, examples, options)) steps.push(loss);
    const { loss } = await node.evaluate(model, examples, { maxLength: 16 });
    model.release();
    return [...steps, loss];
  };
  const wanted = await losses(ROWS);
  expect(wanted).toHaveLength(6);
  expect(await losses(await node.streamRows(packed(ROWS), { spill: node.temporaryFile }))).toEqual(wanted);
  expect(await losses(await web.streamRows([packed(ROWS.slice(0, 5)), packed(ROWS.slice(5))]))).toEqual(
    wanted,
  );
});
