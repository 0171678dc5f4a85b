// Activated LoRA beside what the contract asks of it: generation, rows with other adapters, layouts, refusals.
import { expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { type LoraOptions, lora } from "../../src/adapters/lora/lora.ts";
import { adapterFiles, loadAdapter } from "../../src/load/adapter.ts";
import { combineAdapters } from "../../src/load/combine/combine-adapters.ts";
import { convertToLora } from "../../src/load/convert/to-lora.ts";
import type { LoadedModel, Model } from "../../src/load/model.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { generateTokens } from "../../src/train/generate.ts";
import { languageModelling, uploadTokens } from "../../src/train/language-modelling.ts";
import { evaluateBatch } from "../../src/train/pass.ts";
import { TextCache } from "../../src/train/text-cache.ts";
import { contextOf } from "../support/context.ts";
import { fixturePath, openTestModel, readJsonFile } from "../support/fixtures.ts";
import { collate, LAYOUTS, layItems } from "../support/layouts.ts";
import { wholeFiles } from "../support/merged-cases.ts";

const FOLDER = fixturePath("methods/lora-activated");

interface Golden {
  input_ids: number[][];
  lengths: number[];
  generated: { prompt: number[]; tokens: number[] }[];
}
const golden = readJsonFile<Golden>(FOLDER, "golden.json");
const ROWS = golden.lengths.map((length, row) => golden.input_ids[row]!.slice(0, length));

async function openActivated() {
  const model = await openTestModel(fixturePath("llama-gqa"));
  const adapter = await loadAdapter(model, folderFiles(FOLDER), { name: "activated" });
  return { model, adapter };
}

async function statesOf(model: Model, rows: readonly number[][]): Promise<Float32Array[]> {
  const batch = collate(rows.map((inputIds) => ({ inputIds, labels: [] })));
  const { ids, geometry } = uploadTokens(model, batch);
  const all = await model.hidden(ids, { training: false, seed: 0, geometry }).read();
  const width = model.config.hiddenSize;
  return batch.documents.map(({ row, length }) => {
    const first = row * batch.length * width;
    return all.slice(first, first + length * width);
  });
}

test("it writes what PEFT writes, woken up or not", async () => {
  const { model } = await openActivated();
  for (const { prompt, tokens } of golden.generated) {
    const written: number[] = [];
    for await (const token of generateTokens(model, prompt, { maxNewTokens: tokens.length, temperature: 0 }))
      written.push(token);
    expect(written).toEqual(tokens);
  }
});

test("tokens before the invocation are the base model's, those behind it are not", async () => {
  const { model } = await openActivated();
  const width = model.config.hiddenSize;
  const own = await statesOf(model, ROWS);
  const base = await statesOf(model.withAdapters([]), ROWS);
  for (const [row, start] of [9, 5, 8].entries()) {
    const [ours, theirs] = [own[row]!, base[row]!];
    expect(ours.subarray(0, start * width)).toBeClose(theirs.subarray(0, start * width), 1e-6);
    const behind = start * width;
    if (behind < ours.length) expect(ours.subarray(behind)).not.toEqual(theirs.subarray(behind));
  }
});

test.each(Object.entries(LAYOUTS))("%s, texts have one loss", async (_, layout) => {
  const { model } = await openActivated();
  const items = ROWS.map((inputIds) => ({ inputIds, labels: inputIds }));
  const objective = languageModelling(model);
  const wanted = await evaluateBatch(objective, collate(items)).read();
  const batch = layItems("causal-lm", items as never[], layout) as ReturnType<typeof collate>;
  expect(await evaluateBatch(objective, batch).read()).toBeClose(wanted, 1e-5);
});

test("rows with other adapters, or with it at another strength, are what they are alone", async () => {
  const { model, adapter } = await openActivated();
  const plain = attach(model, lora({ r: 2, initWeights: "orthogonal" }), { name: "plain" });
  const chosen = [[adapter.scaled(0.5)], [plain, adapter], [], [adapter]];
  const rows = [0, 1, 0, 1].map((row) => ROWS[row]!.slice(0, 13));
  const together = await statesOf(model.withRowAdapters(chosen), rows);
  for (const [i, adapters] of chosen.entries()) {
    const [alone] = await statesOf(model.withAdapters(adapters), [rows[i]!]);
    expect(together[i]).toBeClose(alone!, 1e-5);
  }
});

test("a chat that goes on reads again what the adapter treats otherwise now", async () => {
  const { model } = await openActivated();
  const cache = new TextCache(model);
  const turn = async (ids: readonly number[]) => {
    const kept = cache.begin(ids, 40);
    return { kept, scores: await cache.scores([ids]).read() };
  };
  const [first, second, third] = [ROWS[0]!.slice(0, 8), ROWS[0]!.slice(0, 15), ROWS[0]!];
  await turn(first);
  const again = await turn(second); // has a later invocation
  const more = await turn(third);
  expect([again.kept, more.kept]).toEqual([2, 15]);
  for (const [ids, scores] of [
    [second, again.scores],
    [third, more.scores],
  ] as const) {
    const fresh = new TextCache(model);
    fresh.open(1, 40);
    expect(scores).toBeClose(await fresh.scores([ids]).read(), 1e-5);
    fresh.release();
  }
  cache.release();
});

test("a text is made ids by the model's tokenizer, without tokens around it", async () => {
  const model = await openTestModel(fixturePath("llama-gqa"));
  const told: unknown[] = [];
  const tokenizer = { encode: (...given: unknown[]) => told.push(given) && [7, 9] };
  const named = Object.assign({}, model, { tokenizer });
  const adapter = attach(named, lora({ r: 2, aloraInvocationTokens: "<go>" }));
  expect(told[0]).toEqual(["<go>", { addSpecialTokens: false }]);
  const config = new TextDecoder().decode(
    (await wholeFiles(await adapterFiles(adapter))).get("adapter_config.json"),
  );
  expect(JSON.parse(config).alora_invocation_tokens).toEqual([7, 9]);
  adapter.release();
});

test.each<[LoraOptions, RegExp]>([
  [{ aloraInvocationTokens: [7], useDora: true }, /useDora changes a layer for all tokens/],
  [
    { aloraInvocationTokens: [7], initWeights: "pissa" },
    /with aloraInvocationTokens it is true, gaussian or orthogonal/,
  ],
  [{ aloraInvocationTokens: [] }, /aloraInvocationTokens is \[\], wanted a list of ids of tokens, or a text/],
  [{ aloraInvocationTokens: [7, 5000] }, /embedding has 97 rows, and 5000 is none/],
  [{ aloraInvocationTokens: "hello" }, /has no tokenizer/],
  [{ aloraInvocationTokens: [7], targetModules: ["lm_head"] }, /lm_head is the output layer/],
  [{ aloraInvocationTokens: [7], targetModules: ["embed_tokens"] }, /is an embedding/],
])("%o is refused", async (options, message) => {
  const model = await openTestModel(fixturePath("llama-gqa"));
  expect(() => attach(model, lora(options))).toThrow(message);
});

test("a pass that does not know its tokens is refused, and so is what asks for one matrix", async () => {
  const { model, adapter } = await openActivated();
  const { ids } = uploadTokens(model, collate([{ inputIds: ROWS[0]!, labels: [] }]));
  expect(() => model.hidden(ids, contextOf(ids))).toThrow(
    /activated acts from certain tokens on, and the pass does not know/,
  );
  expect(() => model.hidden(ids, { ...contextOf(ids), adapters: model.adapters.active })).toThrow(
    /this pass does not know which its tokens are/,
  );
  const files = folderFiles(FOLDER);
  await expect(
    combineAdapters([
      { files, weight: 1 },
      { files, weight: 2 },
    ]),
  ).rejects.toThrow(/alora_invocation_tokens is set/);
  await expect(convertToLora(model as LoadedModel, adapter, { rank: 2 })).rejects.toThrow(
    /for some tokens alone/,
  );
});
