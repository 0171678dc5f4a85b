import type { ShapeDevice } from "../../gpu/shape-device.ts";
import { scoped } from "../../gpu/tensor.ts";
import { freePositions, type LanguageModel } from "../../models/model.ts";
import type { Counted, Objective } from "../objective.ts";
import { evaluateBatch } from "../pass.ts";
import { TextCache } from "../text-cache.ts";

// What passes without a gradient take on a device that only counts, beside what is held before them.

/** Most bytes that the evaluation of one of some batches takes. */
export function measureEvaluation<B extends Counted>(
  shape: ShapeDevice,
  objective: Pick<Objective<never, B>, "device" | "loss">,
  batches: readonly B[],
): number {
  return peakOf(shape, () => {
    for (const batch of batches) evaluateBatch(objective, batch);
  });
}

/** What writing a text takes, bytes. */
export interface GenerationMemory {
  /** Most at a time, the keys and values of all tokens among it. */
  readonly passes: number;
  /** Copies of weights in textures, which stay; see `Textures`. */
  readonly textures: number;
}

/** The memory that writing behind a prompt takes. */
export function measureGeneration(
  shape: ShapeDevice,
  model: LanguageModel,
  { promptLength, maxNewTokens }: { readonly promptLength: number; readonly maxNewTokens: number },
): GenerationMemory {
  const { device } = model;
  const positions = freePositions(model);
  const length = Math.min(promptLength, positions - 1);
  const ids = new Array<number>(length).fill(0);
  const cache = new TextCache(model);
  const write = () => {
    cache.begin(ids, Math.min(length + maxNewTokens, positions));
    for (const text of [ids, [...ids, 0]]) scoped(device, () => cache.scores([text], model) && undefined);
    cache.release();
  };
  try {
    write(); // makes the textures
    const { bytes, scratchBytes } = device.textures;
    return { passes: peakOf(shape, write), textures: bytes - scratchBytes };
  } finally {
    cache.release();
    device.textures.clear();
  }
}

function peakOf({ device, ledger }: ShapeDevice, body: () => void): number {
  ledger.restart();
  const before = device.memory.stats.used;
  scoped(device, () => {
    body();
    return undefined;
  });
  return device.memory.stats.peak - before;
}
