import type { Tensor } from "../gpu/tensor.ts";
import type { Activation } from "../kernels/activations.ts";
import * as kernels from "../kernels/attention.ts";
import { columnScaleBackward, columnScale as columnScaleKernel } from "../kernels/column-scale.ts";
import { sliceColumnsBackward, sliceColumns as sliceColumnsKernel } from "../kernels/columns.ts";
import { type DropoutOptions, dropout as dropoutKernel } from "../kernels/dropout.ts";
import {
  addBias as addBiasKernel,
  add as addKernel,
  biasGradient,
  convert,
  scale as scaleKernel,
  softcapBackward,
  softcap as softcapKernel,
} from "../kernels/elementwise.ts";
import { embeddingBackward, embedding as embeddingKernel } from "../kernels/embedding.ts";
import {
  gatedActivationBackward,
  gatedActivation as gatedActivationKernel,
} from "../kernels/gated-activation.ts";
import { addNoise as addNoiseKernel, type NoiseOptions } from "../kernels/noise.ts";
import {
  type RopeTensors,
  ropeBackward,
  rope as ropeKernel,
  ropePairBackward,
  ropePair as ropePairKernel,
} from "../kernels/rope.ts";
import { gatherRows as gatherKernel, scatterRows as scatterKernel } from "../kernels/rows.ts";
import { type SwappedAxes, swapAxes as swapAxesKernel } from "../kernels/swap-axes.ts";
import { addToColumns as addToColumnsKernel, takeColumns } from "../kernels/token-rows.ts";
import type { Weight } from "../kernels/weight.ts";
import { fail } from "../util/fail.ts";
import { passOn, type Tape } from "./tape.ts";

export {
  addLinear,
  gatedLinears,
  type LinearLayer,
  type LoraBranch,
  linear,
  linears,
  linearsOfNorm,
} from "./linear.ts";
export { layerNorm, rmsNorm, rmsNormOfSum } from "./norms.ts";

// Every op: run the kernel, then tell the tape how its gradient flows back. Without a tape only the first happens.

/** a + factor · b. */
export function add(tape: Tape | undefined, a: Tensor, b: Tensor, factor = 1): Tensor {
  const y = addKernel(a, b, factor);
  return (
    tape?.record(y, [a, b], [], (dy, give) => {
      give(a, (into) => passOn(dy, into));
      give(b, (into) => (factor === 1 ? passOn(dy, into) : scaleKernel(dy, factor, into)));
    }) ?? y
  );
}

/** x in another type, rounded where that has fewer bits; its gradient comes back in x's own. */
export function cast(tape: Tape | undefined, x: Tensor, dtype: "f32" | "f16"): Tensor {
  if (x.dtype === dtype) return x;
  const own = x.dtype === "f16" ? "f16" : "f32";
  const y = convert(x, dtype);
  return tape?.record(y, [x], [], (dy, give) => give(x, (into) => convert(dy, own, into))) ?? y;
}

/** factor · x. */
export function scale(tape: Tape | undefined, x: Tensor, factor: number): Tensor {
  const y = scaleKernel(x, factor);
  return (
    tape?.record(y, [x], [], (dy, give) => {
      give(x, (into) => scaleKernel(dy, factor, into));
    }) ?? y
  );
}

/** What {@link scaleColumns} takes beside the factors. */
export interface ScaleColumnsOptions {
  /** `[columns]`: multiplies the factors, and gets no gradient. */
  fixed?: Tensor | undefined;
  /** `[columns]`, added behind. */
  bias?: Tensor | undefined;
}

/**
 * x[..., c] · factors[c] · fixed[c] + bias[c]. Saves x where the factors are trained.
 * @param factors of any shape with as many elements as x has columns
 */
export function scaleColumns(
  tape: Tape | undefined,
  x: Tensor,
  factors: Tensor,
  { fixed, bias }: ScaleColumnsOptions = {},
): Tensor {
  const scaled = columnScaleKernel(x, factors, { fixed });
  const y = bias ? addBiasKernel(scaled, bias) : scaled;
  const constants = fixed ? [factors, fixed] : [factors];
  const saved = tape?.tracks(factors) ? [x, ...constants] : constants;
  return (
    tape?.record(y, bias ? [x, factors, bias] : [x, factors], saved, (dy, give) => {
      let dx: Tensor | undefined;
      give(factors, (into) => {
        const both = columnScaleBackward(dy, { x, scale: factors, fixed }, into);
        dx = both.dx;
        return both.dscale;
      });
      give(x, (into) => (dx ? passOn(dx, into) : columnScaleKernel(dy, factors, { fixed, into })));
      if (bias) give(bias, (into) => biasGradient(dy, into));
    }) ?? y
  );
}

/** x[..., c] + bias[c]. @param bias of any shape with as many elements as x has columns */
export function addBias(tape: Tape | undefined, x: Tensor, bias: Tensor): Tensor {
  const y = addBiasKernel(scaleKernel(x, 1), bias);
  return (
    tape?.record(y, [x, bias], [], (dy, give) => {
      give(x, (into) => passOn(dy, into));
      give(bias, (into) => biasGradient(dy, into));
    }) ?? y
  );
}

/** x with some elements dropped and the others scaled up; p = 0 leaves it as it is. Saves nothing. */
export function dropout(tape: Tape | undefined, x: Tensor, options: DropoutOptions): Tensor {
  if (options.p === 0) return x;
  const y = dropoutKernel(x, options);
  return (
    tape?.record(y, [x], [], (dy, give) => {
      give(x, (into) => dropoutKernel(dy, options, into));
    }) ?? y
  );
}

/** x with uniform noise added; a magnitude of 0 leaves it as it is. Saves nothing. */
export function addNoise(tape: Tape | undefined, x: Tensor, options: NoiseOptions): Tensor {
  if (options.magnitude === 0) return x;
  const y = addNoiseKernel(x, options);
  return tape?.record(y, [x], [], (dy, give) => give(x, (into) => passOn(dy, into))) ?? y;
}

/** cap · tanh(x / cap). Saves the output. */
export function softcap(tape: Tape | undefined, x: Tensor, cap: number): Tensor {
  const y = softcapKernel(x, cap);
  return (
    tape?.record(y, [x], [y], (dy, give) => {
      give(x, (into) => softcapBackward(dy, y, cap, into));
    }) ?? y
  );
}

/** x as `[n, rows, cols, unit]` with the two axes in the middle exchanged, in x's shape. Saves nothing. */
export function swapAxes(tape: Tape | undefined, x: Tensor, axes: SwappedAxes): Tensor {
  const y = swapAxesKernel(x, axes);
  const back = { ...axes, rows: axes.cols, cols: axes.rows };
  return (
    tape?.record(y, [x], [], (dy, give) => {
      give(x, (into) => swapAxesKernel(dy, back, into));
    }) ?? y
  );
}

/** x[..., start : end]. Saves nothing. */
export function sliceColumns(tape: Tape | undefined, x: Tensor, start: number, end: number): Tensor {
  const y = sliceColumnsKernel(x, start, end);
  return (
    tape?.record(y, [x], [], (dy, give) => {
      give(x, (into) => sliceColumnsBackward(dy, start, x.columns, into));
    }) ?? y
  );
}

/**
 * Rotary position embedding of queries and keys `[B, T, H, D]` in one dispatch each way, tokens being at `positions`
 * (u32 `[B, T]`). Saves the table and these, and of q and k
 * what costs nothing to save: the rotated one is then computed again.
 */
export function ropePair(
  tape: Tape | undefined,
  q: Tensor,
  k: Tensor,
  table: RopeTensors,
  positions: Tensor,
): [q: Tensor, k: Tensor] {
  const rotated = ropePairKernel(q, k, table, positions);
  const free = [q, k].filter((x) => tape?.isComputable(x));
  const exactlyAgain = [q, k].map((x) =>
    free.includes(x) ? () => ropeKernel(x, table, positions) : undefined,
  );
  const saved = { exact: [table.cos, table.sin, positions, ...free], coarse: [], exactlyAgain };
  tape?.recordAll(rotated, [q, k], saved, ([dq, dk], give) => {
    if (dq && dk && tape.tracks(q) && tape.tracks(k)) {
      const [q0, k0] = ropePairBackward(dq, dk, table, positions);
      give(q, (into) => passOn(q0, into));
      give(k, (into) => passOn(k0, into));
    } else {
      if (dq) give(q, (into) => ropeBackward(dq, table, positions, into));
      if (dk) give(k, (into) => ropeBackward(dk, table, positions, into));
    }
  });
  return rotated;
}

/** act(gate) · up. Saves both inputs; the product is recomputed. */
export function gatedActivation(
  tape: Tape | undefined,
  gate: Tensor,
  up: Tensor,
  activation: Activation,
): Tensor {
  const again = () => gatedActivationKernel(gate, up, activation);
  const y = again();
  return (
    tape?.record(y, [gate, up], { coarse: [gate, up], again }, (dy, give) => {
      const { dgate, dup } = gatedActivationBackward(dy, { gate, up, activation });
      give(gate, (into) => passOn(dgate, into));
      give(up, (into) => passOn(dup, into));
    }) ?? y
  );
}

/**
 * softmax(scale · q kᵀ) v per head. Saves q, k, v, the output and one logsumexp a row: linear in T. With q, k and v rounded to 8
 * bits the probabilities would not be those of the logsumexp: gradients of stories260K were wrong by 27 % instead of 0.7 %.
 */
export function attention(
  tape: Tape | undefined,
  q: Tensor,
  k: Tensor,
  v: Tensor,
  options: kernels.AttentionOptions,
): Tensor {
  if (options.sinks && tape?.tracks(options.sinks))
    fail("attention", "sinks get no gradient here", "leave their module out of what is trained");
  if (!tape && q.shape[1] === 1) return kernels.attentionDecode(q, k, v, options);
  const { o, logsumexp } = kernels.attention(q, k, v, options);
  return (
    tape?.record(o, [q, k, v], { exact: [q, k, v, logsumexp, options.spans], coarse: [o] }, (dO, give) => {
      const { dq, dk, dv } = kernels.attentionBackward(dO, { q, k, v, o, logsumexp, ...options });
      give(q, (into) => passOn(dq, into));
      give(k, (into) => passOn(dk, into));
      give(v, (into) => passOn(dv, into));
    }) ?? o
  );
}

/** Rows of `table [V, d]` by `ids [B, T]` (i32): `[B, T, d]`. */
export function embedding(tape: Tape | undefined, table: Weight, ids: Tensor): Tensor {
  const y = embeddingKernel(table, ids);
  return (
    tape?.record(y, [table.words], [ids], (dy, give) => {
      give(table.words, (into) => embeddingBackward(dy, ids, table.rows, into));
    }) ?? y
  );
}

/** y with x[..., j] added to its column tokens[j], for tokens `[n]` (u32), each once. Saves the tokens. */
export function addToColumns(tape: Tape | undefined, y: Tensor, x: Tensor, tokens: Tensor): Tensor {
  const sum = addToColumnsKernel(scaleKernel(y, 1), x, tokens); // y's own backward pass may read it
  return (
    tape?.record(sum, [y, x], [tokens], (dy, give) => {
      give(y, (into) => passOn(dy, into));
      give(x, (into) => takeColumns(dy, tokens, into));
    }) ?? sum
  );
}

/** Rows `index` (unique) of x `[..., cols]`: `[M, cols]`. */
export function gatherRows(tape: Tape | undefined, x: Tensor, index: Tensor): Tensor {
  const y = gatherKernel(x, index);
  return (
    tape?.record(y, [x], [index], (dy, give) => {
      give(x, (into) => scatterKernel(dy, index, x.rows, into).reshape(x.shape));
    }) ?? y
  );
}

/** The rows of x `[M, cols]` at `index` (unique) of `rows` rows, the others 0: `[rows, cols]`. */
export function scatterRows(tape: Tape | undefined, x: Tensor, index: Tensor, rows: number): Tensor {
  const y = scatterKernel(x, index, rows);
  return (
    tape?.record(y, [x], [index], (dy, give) => {
      give(x, (into) => passOn(gatherKernel(dy, index).reshape(x.shape), into));
    }) ?? y
  );
}

/** Parts x `[M, cols]`, each at the rows `index` of the result, which together are all of them once: `[rows, cols]`. */
export function joinRows(
  tape: Tape | undefined,
  parts: readonly { readonly x: Tensor; readonly index: Tensor }[],
  rows: number,
): Tensor {
  let y: Tensor | undefined;
  for (const { x, index } of parts) y = scatterKernel(x, index, rows, y);
  if (!y) return fail("joinRows", "there are no parts");
  const inputs = parts.map(({ x }) => x);
  const indices = parts.map(({ index }) => index);
  return (
    tape?.record(y, inputs, indices, (dy, give) => {
      for (const { x, index } of parts) {
        give(x, (into) => passOn(gatherKernel(dy, index).reshape(x.shape), into));
      }
    }) ?? y
  );
}
