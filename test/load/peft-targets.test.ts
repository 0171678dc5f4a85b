import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { isNorm } from "../../src/adapters/ln-tuning/ln-tuning.ts";
import { type LoraOptions, lora } from "../../src/adapters/lora/lora.ts";
import type { HfConfig } from "../../src/models/config-reader.ts";
import { planModel } from "../../src/models/families.ts";
import { isEmbedding } from "../../src/nn/embedding.ts";
import { shapeWeights } from "../../src/nn/initial-weights.ts";
import { modules } from "../../src/nn/module.ts";
import { LoraError } from "../../src/util/fail.ts";
import { testDevice } from "../support/device.ts";
import { fixturePath, readJsonFile } from "../support/fixtures.ts";

/** peft-targets.json: what PEFT 0.21 adapts; see make_peft_targets.py. `WEBGPU_LORA_TARGETS` names a larger file. */
interface Case {
  model: number;
  r: number;
  lora_alpha: number;
  target_modules?: string[] | string;
  exclude_modules?: string[] | string;
  layers_to_transform?: number[] | number;
  layers_pattern?: string[] | string;
  rank_pattern?: Record<string, number>;
  alpha_pattern?: Record<string, number>;
  modules_to_save?: string[];
  error?: string;
  layers?: string;
}
interface Golden {
  models: { folder: string; linears: string[] }[];
  cases: Case[];
}

const { WEBGPU_LORA_TARGETS: file } = process.env;
const golden = file
  ? (JSON.parse(readFileSync(file, "utf8")) as Golden)
  : readJsonFile<Golden>(fixturePath(""), "peft-targets.json");

function optionsOf(c: Case): LoraOptions {
  return {
    r: c.r,
    alpha: c.lora_alpha,
    ...(c.target_modules !== undefined && { targetModules: c.target_modules }),
    ...(c.exclude_modules !== undefined && { excludeModules: c.exclude_modules }),
    ...(c.layers_to_transform !== undefined && { layersToTransform: c.layers_to_transform }),
    ...(c.layers_pattern !== undefined && { layersPattern: c.layers_pattern }),
    ...(c.rank_pattern && { rankPattern: c.rank_pattern }),
    ...(c.alpha_pattern && { alphaPattern: c.alpha_pattern }),
    ...(c.modules_to_save && { modulesToSave: c.modules_to_save }),
  };
}

/** What is stricter here, each by its message. */
const STRICTER = [
  "not supported yet", // modules_to_save that reaches an embedding
  "lies inside", // PEFT saves that, and cannot load it
  "is a list of layers", // PEFT raises for some, and trains a list that is never called for others
];

/** Where PEFT raises, and there is no reason to. */
function isLenient({ error, target_modules }: Case): boolean {
  const isWord = typeof target_modules === "string" && target_modules.toLowerCase() === "all-linear";
  // PEFT has no default for some model types; and with all-linear it would adapt the head that it trains whole.
  return (error === "ValueError" && target_modules === undefined) || (error === "TypeError" && isWord);
}

/**
 * PEFT refuses an expression that reaches norms, or dropout, which is no module here and lies beside embeddings. Here it
 * means what can be adapted, and is saved as their names.
 */
function reachesOthers({ error, target_modules }: Case, others: readonly string[]): boolean {
  if (error !== "ValueError" || typeof target_modules !== "string") return false;
  const whole = new RegExp(`^(?:${target_modules})$`);
  return others.some((path) => whole.test(path));
}

describe.each(golden.models.map(({ folder }, i) => [folder, i] as const))("%s", (folder, index) => {
  const cases = golden.cases.filter(({ model }) => model === index);

  test(`${cases.length} configurations choose the layers, ranks and alphas that they choose in PEFT`, async () => {
    const config = readJsonFile<HfConfig>(fixturePath(folder), "config.json");
    const model = planModel(config).build(await testDevice(), shapeWeights(await testDevice()).root);
    const numbers = new Map(golden.models[index]?.linears.map((path, i) => [path, i]));
    const all = [...modules(model.root)];
    const others = all.filter((module) => isNorm(module) || isEmbedding(module)).map(({ path }) => path);
    const different: string[] = [];
    for (const c of cases) {
      const got = layersOf(c);
      const isSame = c.error === undefined ? got === c.layers : got.startsWith("refused");
      const isStricter = STRICTER.some((text) => got.includes(text));
      if (!isSame && !isStricter && !isLenient(c) && !reachesOthers(c, others))
        different.push(`${JSON.stringify(c)} here: ${got}`);
    }
    expect(different).toEqual([]);

    function layersOf(c: Case): string {
      try {
        // Of images PEFT knows no task, so that their head is a layer like others.
        const trainHead = model.task !== "image-classification";
        const method = lora({ targetModules: model.defaultTargets, trainHead, ...optionsOf(c) });
        method.saved?.(model);
        const found = method.sites(model).map(({ path }) => {
          const { r, alpha } = method.rankOf(path);
          const isUsual = r === c.r && alpha === c.lora_alpha;
          return `${numbers.get(path) ?? path}${isUsual ? "" : `:${r}/${alpha}`}`;
        });
        return found.sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10)).join(" ");
      } catch (error) {
        if (error instanceof LoraError) return `refused: ${error.message}`;
        throw error;
      }
    }
  });
});
