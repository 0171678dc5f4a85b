import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Adapter } from "../../../src/adapters/adapter.ts";
import { isLora } from "../../../src/adapters/lora/lora.ts";
import type { Device } from "../../../src/gpu/device.ts";
import { readHeader } from "../../../src/io/formats/safetensors.ts";
import { loadAdapter } from "../../../src/load/adapter.ts";
import { type LoadedModel, openTaskModel } from "../../../src/load/model.ts";
import type { Random } from "../../../src/util/random.ts";
import { bytesAt, modelFolders, sourceBelow, treeAt } from "../corpus.ts";
import { idleDevice } from "../idle-device.ts";
import { type JsonTree, textOf } from "../json-tree.ts";
import { mutateJson } from "../mutate-json.ts";
import { bytesOf } from "../mutate-text.ts";
import { ensure, folderOf, type InputFiles, type Target } from "../target.ts";
import { mutateSafetensors } from "./safetensors.ts";

const CONFIG = "adapter_config.json";
const WEIGHTS = "adapter_model.safetensors";

/** An adapter of the fixtures, and the folder of the model that it is for. */
interface Fixture {
  readonly folder: string;
  readonly config: JsonTree;
  readonly weights: Uint8Array;
}

let fixtures: readonly Fixture[] | undefined;

function all(): readonly Fixture[] {
  fixtures ??= modelFolders()
    .filter((folder) => existsSync(join(folder, "adapter", CONFIG)))
    .map((folder) => ({
      folder,
      config: treeAt(join(folder, "adapter", CONFIG)),
      weights: bytesAt(join(folder, "adapter", WEIGHTS)),
    }));
  return fixtures;
}

/** Models that adapters were put on before, without their weights: to load each takes longer than to load an adapter. */
const models = new Map<string, { model: LoadedModel; device: Device }>();

async function modelIn(folder: string): Promise<{ model: LoadedModel; device: Device }> {
  const device = idleDevice();
  const loaded = models.get(folder) ?? { model: await openTaskModel(sourceBelow(folder), device), device };
  models.set(folder, loaded);
  return loaded;
}

function brokenFiles({ config, weights }: Fixture, random: Random): InputFiles {
  const which = random.integer(5); // mostly the configuration
  const tree = which === 0 ? config : mutateJson(config, random, [random.pick(all()).config]);
  const broken = which < 2 ? mutateSafetensors(weights, random, random.pick(all()).weights) : weights;
  return new Map([
    [CONFIG, bytesOf(textOf(tree), random)],
    [WEIGHTS, broken],
  ]);
}

/** An adapter's files: what is loaded has each tensor of the file in its place, and leaves nothing when it is released. */
export const adapter: Target = {
  make(random) {
    const fixture = random.pick(all());
    return new Map([...brokenFiles(fixture, random), ["model", new TextEncoder().encode(fixture.folder)]]);
  },
  async read(input) {
    const { model, device } = await modelIn(new TextDecoder().decode(input.get("model")));
    const before = device.memory.stats.used;
    const warnings: string[] = [];
    const files = folderOf(new Map([...input].filter(([name]) => name !== "model")));
    let loaded: Adapter | undefined;
    try {
      loaded = await loadAdapter(model, files, { onWarning: (warning) => warnings.push(warning) });
      const { tensors } = await readHeader(files, WEIGHTS);
      const placed = [...loaded.sites, ...loaded.saved].flatMap(({ tensors }) => Object.values(tensors));
      const isUnused = warnings.some((warning) => warning.includes("left out"));
      const isComplete = placed.length === tensors.size || (isUnused && placed.length < tensors.size);
      ensure(isComplete, () => `${placed.length} tensors are in place, and the file has ${tensors.size}`);
      const { method } = loaded;
      const r = isLora(method) ? method.options.r : Number.NaN;
      ensure(Number.isSafeInteger(r) && r > 0, () => `r is ${r}`);
    } finally {
      loaded?.release();
      ensure(model.adapters.all.length === 0, () => `the model still has an adapter`);
      const left = device.memory.stats.used - before;
      ensure(left === 0, () => `${left} bytes stay in use`);
    }
  },
};
