import type { Tensor } from "../gpu/tensor.ts";
import { activateBackward, activate as activateKernel } from "../kernels/activation.ts";
import type { Activation } from "../kernels/activations.ts";
import { patchesBackward, patches as patchesKernel } from "../kernels/patches.ts";
import {
  type MeanKind,
  maxPoolBackward,
  maxPool as maxPoolKernel,
  meanPoolBackward,
  meanPool as meanPoolKernel,
} from "../kernels/pooling.ts";
import type { Tape } from "./tape.ts";

// Ops that encoders and older decoders need, and Llama and its like do not.

/** act(x). Saves x. */
export function activate(tape: Tape | undefined, x: Tensor, activation: Activation): Tensor {
  const again = () => activateKernel(x, activation);
  const y = again();
  return (
    tape?.record(y, [x], { coarse: [x], again }, (dy, give) => {
      give(x, (into) => activateBackward(dy, { x, activation }, into));
    }) ?? y
  );
}

/**
 * Mean of x `[B, T, cols]` over the tokens of each document, weighted as `kind` says: `[N, cols]`.
 * @param documents see `meanPool` of the kernels
 */
export function meanPool(
  tape: Tape | undefined,
  x: Tensor,
  documents: Tensor,
  kind: MeanKind = "mean",
): Tensor {
  const y = meanPoolKernel(x, documents, kind);
  return (
    tape?.record(y, [x], [documents], (dy, give) => {
      give(x, (into) => meanPoolBackward(dy, x.shape, documents, kind, into));
    }) ?? y
  );
}

/** Largest value of each column of x `[B, T, cols]` over the tokens of each document: `[N, cols]`. */
export function maxPool(tape: Tape | undefined, x: Tensor, documents: Tensor): Tensor {
  const y = maxPoolKernel(x, documents);
  return (
    tape?.record(y, [x], [x, documents], (dy, give) => {
      give(x, (into) => maxPoolBackward(dy, x, documents, into));
    }) ?? y
  );
}

/** Images `[B, C, H, W]` as patches `[B, N, C·patch·patch]`. */
export function patches(tape: Tape | undefined, x: Tensor, patch: number): Tensor {
  const y = patchesKernel(x, patch);
  return (
    tape?.record(y, [x], [], (dy, give) => {
      give(x, (into) => patchesBackward(dy, x.shape, patch, into));
    }) ?? y
  );
}
