import type { Tensor } from "../gpu/tensor.ts";
import { type Context, call, type Module } from "./module.ts";

/**
 * What a layer adds to its residual stream: attention, or the MLP. Its function takes the stream and gives what is added to
 * it, so that what surrounds it sees both. Checkpoints know no such module: its path is where files of adapters have what
 * belongs there.
 */
export interface Branch extends Module {
  /** Tells it from other modules. */
  readonly kind: "branch";
  readonly of: "attention" | "mlp";
  /** What normalises the sum of both, in layers with norms there (post-norm). */
  readonly norm?: Module | undefined;
}

/** Whether a module is a {@link Branch}. */
export function isBranch(module: Module): module is Branch {
  return (module as Partial<Branch>).kind === "branch";
}

/** Runs modules one after the other. */
export function through(modules: readonly Module[], x: Tensor, context: Context): Tensor {
  return modules.reduce((y, module) => call(module, y, context), x);
}
