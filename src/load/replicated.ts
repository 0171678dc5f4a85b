import { MERGE_COPIES } from "../adapters/remedies.ts";
import type { BaseModel } from "../models/model.ts";
import { fail } from "../util/fail.ts";

/**
 * Refuses to merge into a model whose layers were stacked anew. PEFT means to refuse it, too; its check looks in the wrong
 * place, and all copies' updates add up in the one matrix that they share.
 * @throws LoraError where it is one
 */
export function refuseReplicated(where: string, { layerReplication }: BaseModel): void {
  if (!layerReplication) return;
  const got = "the model's layers are stacked anew (layer_replication), and copies share one matrix";
  fail(where, got, `keep model and adapter apart; or, ${MERGE_COPIES}`);
}
