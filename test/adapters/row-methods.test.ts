// Adapters of different methods for the rows of one batch: each row is what it is alone, or the method is refused by name.
import { expect, test } from "vitest";
import { adalora } from "../../src/adapters/adalora/adalora.ts";
import { type Adapter, attach } from "../../src/adapters/adapter.ts";
import { beft } from "../../src/adapters/beft/beft.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import { loha } from "../../src/adapters/lycoris/loha.ts";
import { lokr } from "../../src/adapters/lycoris/lokr.ts";
import type { Method } from "../../src/adapters/method.ts";
import { oft } from "../../src/adapters/oft/oft.ts";
import { pTuning } from "../../src/adapters/prompts/p-tuning.ts";
import { prefixTuning } from "../../src/adapters/prompts/prefix-tuning.ts";
import { promptTuning } from "../../src/adapters/prompts/prompt-tuning.ts";
import { vera } from "../../src/adapters/vera/vera.ts";
import { fromArray } from "../../src/gpu/tensor.ts";
import type { Model } from "../../src/load/model.ts";
import { createRandom } from "../../src/util/random.ts";
import { contextOf } from "../support/context.ts";
import { fixturePath, openTestModel } from "../support/fixtures.ts";

const FOLDER = fixturePath("llama-gqa");
const targetModules = ["q_proj", "down_proj"];
const ROW = [3, 1, 4, 1, 5, 9];

async function logits(model: Model, rows: readonly (readonly number[])[]): Promise<Float32Array> {
  const ids = fromArray(model.device, Uint32Array.from(rows.flat()), [rows.length, ROW.length]);
  return model.logits(model.hidden(ids, contextOf(ids))).read();
}

function filled(adapter: Adapter): Adapter {
  for (const { name, tensor } of adapter.parameters.entries) {
    const random = createRandom(3).fork(name);
    tensor.write(Float32Array.from({ length: tensor.size }, () => random.uniform() - 0.4));
  }
  return adapter;
}

test("rows go through adapters of any method that stays within its row", async () => {
  const model = await openTestModel(FOLDER);
  const methods: Record<string, Method> = {
    adalora: adalora({ initR: 3, targetR: 2, targetModules }),
    oft: oft({ oftBlockSize: 4, targetModules }),
    beft: beft({ targetModules }),
    loha: loha({ r: 2, targetModules }),
    lokr: lokr({ r: 2, targetModules }),
    vera: vera({ r: 4, targetModules }),
  };
  const adapters = Object.entries(methods).map(([name, method]) => filled(attach(model, method, { name })));
  const rows = [[], ...adapters.map((adapter) => [adapter])];
  const mixed = await logits(
    model.withRowAdapters(rows),
    rows.map(() => ROW),
  );
  const size = mixed.length / rows.length;
  for (const [i, own] of rows.entries()) {
    const alone = await logits(model.withAdapters(own), [ROW]);
    expect(mixed.slice(i * size, (i + 1) * size)).toBeClose(alone, 1e-5);
    if (i > 0) expect(alone).not.toEqual(mixed.slice(0, size));
  }
});

test.each([
  ["prompt", promptTuning({ numVirtualTokens: 2 })],
  ["prefix", prefixTuning({ numVirtualTokens: 2 })],
  ["p_tuning", pTuning({ numVirtualTokens: 2 })],
])("%s's virtual tokens are refused beside another row's adapter, by name", async (name, method) => {
  const model = await openTestModel(FOLDER);
  const other = attach(model, lora({ r: 2, targetModules }), { name: "other" });
  const longer = attach(model, method, { name });
  expect(() => model.withRowAdapters([[other], [longer]])).toThrow(
    `${name} puts virtual tokens before texts, and the rows of a batch are of one length`,
  );
});
