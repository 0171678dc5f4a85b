import * as ops from "../../autograd/ops.ts";
import type { Tensor } from "../../gpu/tensor.ts";
import { castToFloat } from "../../kernels/cast.ts";
import { addInto } from "../../kernels/elementwise.ts";
import { matmul } from "../../kernels/matmul.ts";
import type { Embedding } from "../../nn/embedding.ts";
import type { Wrap } from "../../nn/module.ts";
import type { Site, SiteTensors, TensorPlans } from "../method.ts";

// LoRA of an embedding: y = W[id] + s · B A[:, id] (PEFT's tuners/lora/layer.py, Embedding). A `[r, V]` lies on the device
// as `[V, r]`, so that a token's part of it is a row.

/** A begins as zeros and B as N(0, 1), the other way round than at linear layers, whatever the start of these. */
export function embeddingPlans({ tensors: { weight } }: Embedding, r: number): TensorPlans {
  return {
    lora_embedding_A: { shape: [weight.rows, r] },
    lora_embedding_B: {
      shape: [weight.columns, r],
      begin: (random) => Float32Array.from({ length: weight.columns * r }, () => random.normal()),
    },
  };
}

/** Adds the update of each token. Only rows that occur get a gradient. */
export function embeddingWrap({ tensors }: Site, scale: number): Wrap {
  const { A, B } = factorsOf(tensors);
  return (ids, context, next) => {
    const { tape } = context;
    const update = ops.linear(tape, ops.embedding(tape, A, ids), B);
    return ops.add(tape, next(ids, context), update, scale);
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

/** W + s · (B A)ᵀ, `[V, d]` f32. */
export function mergedEmbedding({ module, tensors }: Site, scale: number): Tensor {
  const { A, B } = factorsOf(tensors);
  return addInto(
    matmul(A, B, { layout: "NT", alpha: scale }),
    castToFloat((module as Embedding).tensors.weight),
  );
}

function factorsOf({ lora_embedding_A, lora_embedding_B }: SiteTensors): { A: Tensor; B: Tensor } {
  return { A: lora_embedding_A as Tensor, B: lora_embedding_B as Tensor };
}
