import { expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import { lossMapPage } from "../../src/cli/loss-map.ts";
import { createTokenizer } from "../../src/io/tokenizer/tokenizer.ts";
import { evaluate } from "../../src/train/evaluate.ts";
import { lossOfTokens } from "../../src/train/token-losses.ts";
import { LLAMA_CONFIG, LLAMA_JSON } from "../io/tokenizer/tiny-tokenizer.ts";
import {
  fixturePath,
  type Golden,
  goldenSequences,
  openTestModel,
  readJsonFile,
} from "../support/fixtures.ts";
import { unbalanced } from "../support/page.ts";

const folder = fixturePath("llama-gqa");
const whole = goldenSequences(readJsonFile<Golden>(folder, "golden.json"));
// One of them with labels at its end alone.
const sequences = whole.map(({ inputIds, labels }, i) => ({
  inputIds,
  labels: i === 1 ? labels.map((label, at) => (at < inputIds.length - 2 ? -100 : label)) : labels,
}));

const known = (row: Float32Array = new Float32Array()) => row.filter((x) => !Number.isNaN(x));
const total = (losses: readonly Float32Array[]) =>
  losses.flatMap((row) => [...row]).reduce((sum, x) => sum + (Number.isNaN(x) ? 0 : x), 0);

test("each label's loss, in any batch; their mean is the evaluation's, with the adapter and without", async () => {
  const model = await openTestModel(folder);
  const plain = await lossOfTokens(model, sequences, { batchSize: 3 });
  expect(plain.map((row) => row.length)).toEqual(sequences.map(({ inputIds }) => inputIds.length));
  for (const [i, row] of plain.entries())
    expect([...row].map((x) => !Number.isNaN(x))).toEqual(
      sequences[i]?.labels.map((label, at) => at > 0 && label !== -100),
    );
  const { loss, tokens } = await evaluate(model, sequences);
  expect(total(plain) / tokens).toBeCloseTo(loss, 5);
  const single = await lossOfTokens(model, sequences, { batchSize: 1 });
  for (const [i, row] of single.entries()) expect(known(row)).toBeClose(known(plain[i]), 1e-5);

  const adapter = attach(model, lora({ r: 2, initWeights: "gaussian" }), { seed: 3 });
  const flat = await adapter.parameters.flat.read();
  adapter.parameters.flat.write(flat.map((_, i) => Math.sin(i) * 0.1)); // a lora_B that is not 0
  const adapted = await lossOfTokens(model, sequences);
  expect(total(adapted) / tokens).toBeCloseTo((await evaluate(model, sequences)).loss, 5);
  expect(Math.abs(total(adapted) - total(plain))).toBeGreaterThan(0.01);
  const base = await lossOfTokens(model.withAdapters([]), sequences, { batchSize: 3 });
  for (const [i, row] of base.entries()) expect(row).toEqual(plain[i]);
  await expect(lossOfTokens(model, [{ inputIds: [1e6], labels: [-100] }])).rejects.toThrow(/row 1/);
});

test("a page shows both sides, the darker the larger the loss", () => {
  const tokenizer = createTokenizer(LLAMA_JSON, LLAMA_CONFIG);
  const sequence = { inputIds: [1, 13, 300], labels: [-100, 13, 300] };
  const [base, adapted] = [Float32Array.of(Number.NaN, 3, 9), Float32Array.of(Number.NaN, 0, 1.5)];
  const subject = { model: "<m>", data: "<d>" };
  const page = lossMapPage(subject, [{ name: "<r>", sequence, base, adapted }], tokenizer);
  expect(unbalanced(page)).toEqual([]);
  expect(page).toContain("<dt>base model</dt><dd><b>6.000</b>");
  expect(page).toContain("<dt>with adapters</dt><dd><b>0.750</b>");
  expect(page).toMatch(/--loss:0\.500" title="id 13: 3\.000 nats, the other 0\.000 nats"/);
  expect(page).toContain('--loss:1.000" title="id 300: 9.000 nats');
  expect(page).toContain('class="read special" title="id 1: not learnt');
  expect(page).not.toMatch(/<(?:m|d|r)>/);
  const alone = lossMapPage(subject, [{ name: "r", sequence, base }], tokenizer);
  expect(alone).not.toContain("with adapters");
});
