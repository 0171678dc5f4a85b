import * as ops from "../../autograd/ops.ts";
import type { Tape } from "../../autograd/tape.ts";
import { fromArray, type Tensor } from "../../gpu/tensor.ts";
import { castToFloat } from "../../kernels/cast.ts";
import { addInto } from "../../kernels/elementwise.ts";
import { embedding as embeddingKernel } from "../../kernels/embedding.ts";
import { scatterRows } from "../../kernels/rows.ts";
import { findTokens } from "../../kernels/token-rows.ts";
import type { Leaf, Wrap } from "../../nn/module.ts";
import type { SiteTensors, TensorPlans } from "../method.ts";

// Single rows of a vocabulary's matrix that are trained in place of the matrix: PEFT's `trainable_token_indices`
// (tuners/trainable_tokens/layer.py). What is stored are the rows, not their differences from the base model's.

/** The trained rows `[n, d]`, and the matrix's own as they were, which stay. */
export function tokenPlans({ tensors }: Leaf, tokens: readonly number[]): TensorPlans {
  const weight = tensors.weight!;
  const shape = [tokens.length, weight.columns];
  const begin = () => embeddingKernel(weight, upload(weight, tokens));
  return { token_rows: { shape, begin }, token_originals: { shape, begin, trained: false } };
}

/** What a pass computes with other rows of a matrix with. */
export interface TokenRows {
  readonly tokens: readonly number[];
  /** Of {@link tokenPlans}. */
  readonly tensors: SiteTensors;
  /** Of the rows' difference from the matrix's own: 1 unless the adapter is scaled. */
  readonly factor: number;
}

/** An embedding with these rows: adds the difference where a token is one of them. */
export function tokenEmbeddingWrap(rows: TokenRows): Wrap {
  return (ids, context, next) => {
    const { tape } = context;
    const slots = findTokens(ids, upload(ids, rows.tokens));
    const change = ops.embedding(tape, changeOf(tape, rows), slots);
    return ops.add(tape, next(ids, context), change, rows.factor);
  };
}

/** An output layer with these rows: adds the difference to the scores of these tokens. */
export function tokenHeadWrap(rows: TokenRows): Wrap {
  return (hidden, context, next) => {
    const { tape } = context;
    const change = ops.linear(tape, hidden, changeOf(tape, rows));
    const scaled = rows.factor === 1 ? change : ops.scale(tape, change, rows.factor);
    return ops.addToColumns(tape, next(hidden, context), scaled, upload(hidden, rows.tokens));
  };
}

/** The matrix with these rows, `[V, d]` f32. */
export function mergedRows({ tensors }: Leaf, { tokens, tensors: own }: Omit<TokenRows, "factor">): Tensor {
  const weight = tensors.weight!;
  const change = changeOf(undefined, { tensors: own });
  return addInto(scatterRows(change, upload(weight, tokens), weight.rows), castToFloat(weight));
}

/** `[n, d]`: the trained rows without the matrix's own. */
function changeOf(tape: Tape | undefined, { tensors }: Pick<TokenRows, "tensors">): Tensor {
  return ops.add(tape, tensors.token_rows as Tensor, tensors.token_originals as Tensor, -1);
}

function upload({ device }: Pick<Tensor, "device">, tokens: readonly number[]): Tensor {
  return fromArray(device, Uint32Array.from(tokens), [tokens.length]);
}
