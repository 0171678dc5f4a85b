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

/** Most bytes that writing behind a prompt takes, the keys and values of all tokens among them. */
export function measureGeneration(
  shape: ShapeDevice,
  model: LanguageModel,
  { promptLength, maxNewTokens }: { readonly promptLength: number; readonly maxNewTokens: number },
): number {
  const positions = freePositions(model);
  const length = Math.min(promptLength, positions - 1);
  const ids = new Array<number>(length).fill(0);
  const cache = new TextCache(model);
  try {
    return peakOf(shape, () => {
      cache.begin(ids, Math.min(length + maxNewTokens, positions));
      for (const text of [ids, [...ids, 0]])
        scoped(model.device, () => cache.scores([text], model) && undefined);
    });
  } finally {
    cache.release();
  }
}

function peakOf({ device, ledger }: ShapeDevice, body: () => void): number {
  ledger.restart();
  const before = device.memory.stats.used;
  scoped(device, () => {
    body();
    return undefined;
  });
  return ledger.peak - before;
}
