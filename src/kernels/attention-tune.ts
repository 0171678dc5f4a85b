import type { Device } from "../gpu/device.ts";
import { fromArray, type Tensor } from "../gpu/tensor.ts";
import {
  type AttentionSaved,
  type AttentionVariant,
  attention,
  attentionBackward,
  attentionClass,
  attentionVariants,
} from "./attention.ts";
import { type Fastest, fastestOf } from "./fastest.ts";

/** Attention in a training step, whose fastest kernels are wanted. */
export interface AttentionShape {
  /** Tokens of a text. */
  tokens: number;
  /** Heads of queries. */
  heads: number;
  /** Heads of keys and values. */
  kvHeads: number;
  /** Columns of a head. */
  headDim: number;
}

/** What was measured for one class of attention: forward and backward pass together. */
export type TunedAttention = AttentionShape & Fastest<AttentionVariant>;

/**
 * Measures whether attention is faster on matrix units, which round what they multiply to f16, and makes the faster kernels the
 * device's choice for heads of this size. Undefined where there is nothing to choose: the device has no units, or none that
 * fit. The choice holds until the device is closed; saving is `device.choices.save()`.
 */
export async function tuneAttention(
  device: Device,
  shape: AttentionShape,
): Promise<TunedAttention | undefined> {
  const variants = attentionVariants(device, shape.headDim);
  if (variants.length === 1) return undefined;
  // No scope may be open while this waits: what others allocate meanwhile would die with it.
  const inputs = device.memory.persistent(() => inputsOf(device, shape));
  const { q, k, v, spans } = inputs;
  try {
    const measured = await fastestOf(device, variants, (variant) =>
      pass({ q, k, v, spans, scale: shape.headDim ** -0.5, variant }),
    );
    device.choices.set(attentionClass(shape.headDim), measured.variant);
    return { ...shape, ...measured };
  } finally {
    for (const { storage } of Object.values(inputs)) device.memory.release(storage);
  }
}

function pass(inputs: Omit<AttentionSaved, "o" | "logsumexp">): void {
  const { q, k, v } = inputs;
  const { o, logsumexp } = attention(q, k, v, inputs);
  attentionBackward(o, { ...inputs, o, logsumexp });
}

function inputsOf(device: Device, { tokens, heads, kvHeads, headDim }: AttentionShape) {
  const ones = (count: number): Tensor =>
    fromArray(device, new Float32Array(tokens * count * headDim).fill(1), [1, tokens, count, headDim]);
  const spans = Uint32Array.from({ length: 2 * tokens }, (_, i) => (i % 2 === 0 ? 0 : tokens));
  const [q, k, v] = [ones(heads), ones(kvHeads), ones(kvHeads)];
  return { q, k, v, spans: fromArray(device, spans, [1, tokens, 2]) };
}
