import * as ops from "../../autograd/ops.ts";
import type { Tensor } from "../../gpu/tensor.ts";
import { castToFloat } from "../../kernels/cast.ts";
import { addInto } from "../../kernels/elementwise.ts";
import { matmul } from "../../kernels/matmul.ts";
import type { Embedding } from "../../nn/embedding.ts";
import { tensorsOf, type Wrap } from "../../nn/module.ts";
import type { Site, SiteTensors, TensorPlans } from "../method.ts";
import { columnSquares, doraEmbedding, doraEmbeddingPlans, doraMergedEmbedding } from "./dora-embedding.ts";

// LoRA of an embedding: y = W[id] + s · B A[:, id] (PEFT's tuners/lora/layer.py, Embedding). A `[r, V]` lies on the device
// as `[V, r]`, so that a token's part of it is a row.

/** A begins as zeros and B as N(0, 1), the other way round than at linear layers, whatever the start of these. */
export function embeddingPlans(embedding: Embedding, r: number, useDora: boolean): TensorPlans {
  const { weight } = embedding.tensors;
  return {
    lora_embedding_A: { shape: [weight.rows, r] },
    lora_embedding_B: {
      shape: [weight.columns, r],
      begin: (random) => Float32Array.from({ length: weight.columns * r }, () => random.normal()),
    },
    ...(useDora ? doraEmbeddingPlans(embedding) : {}),
  };
}

/** How an update acts. */
interface Update {
  readonly scale: number;
  readonly useDora: boolean;
}

/** Adds the update of each token. Only rows that occur get a gradient. */
export function embeddingWrap({ module, tensors }: Site, { scale, useDora }: Update): Wrap {
  const own = module as Embedding;
  const { A, B } = factorsOf(tensors);
  return (ids, context, next) => {
    const { tape } = context;
    const update = ops.linear(tape, ops.embedding(tape, A, ids), B);
    const y = ops.add(tape, next(ids, context), update, scale);
    if (!useDora) return y;
    const { weight } = tensorsOf(own, context);
    const hasOther = weight !== own.tensors.weight; // whose norms are not those that are known
    const named = hasOther ? { ...tensors, weight_squares: columnSquares(weight) } : tensors;
    return doraEmbedding(tape, y, named, { weight, A, B, scale });
  };
}

/** The update of an embedding at the output layer that is tied to it: scores += s · h (B A). */
export function tiedHeadWrap(embedding: SiteTensors, scale: number): Wrap {
  const { A, B } = factorsOf(embedding);
  const { rows, columns: cols } = B;
  return (hidden, context, next) => {
    const { tape } = context;
    const turned = ops.swapAxes(tape, B, { rows, cols }).reshape([cols, rows]);
    const update = ops.linear(tape, ops.linear(tape, hidden, turned), A);
    return ops.add(tape, next(hidden, context), update, scale);
  };
}

/** W + s · (B A)ᵀ, `[V, d]` f32; with DoRA its columns have the magnitudes that were trained. */
export function mergedEmbedding({ module, tensors }: Site, { scale, useDora }: Update): Tensor {
  const { A, B } = factorsOf(tensors);
  const { weight } = (module as Embedding).tensors;
  const whole = addInto(matmul(A, B, { layout: "NT", alpha: scale }), castToFloat(weight));
  return useDora ? doraMergedEmbedding(whole, tensors, { weight, A, B, scale }) : whole;
}

function factorsOf({ lora_embedding_A, lora_embedding_B }: SiteTensors): { A: Tensor; B: Tensor } {
  return { A: lora_embedding_A as Tensor, B: lora_embedding_B as Tensor };
}
