import * as encoderOps from "../autograd/encoder-ops.ts";
import * as ops from "../autograd/ops.ts";
import type { Device } from "../gpu/device.ts";
import { fromArray, type Tensor } from "../gpu/tensor.ts";
import type { Activation } from "../kernels/activations.ts";
import { attend, callHeads } from "../nn/attention.ts";
import { firstTokens } from "../nn/chosen-tokens.ts";
import { placeTokens, wholeRows } from "../nn/geometry.ts";
import { linear } from "../nn/linear.ts";
import { type Context, call, type Leaf, type Module, type Siblings, tensorsOf } from "../nn/module.ts";
import { layerNorm } from "../nn/norm.ts";
import { stack } from "../nn/stack.ts";
import type { Weights } from "../nn/weights.ts";
import type { Built } from "./family.ts";

/** Sizes and options of a vision transformer; Dosovitskiy et al. 2020, arXiv 2010.11929. */
export interface VitConfig {
  hiddenSize: number;
  intermediateSize: number;
  numLayers: number;
  numHeads: number;
  image: { channels: number; height: number; width: number };
  /** Side of a patch, pixels. */
  patchSize: number;
  normEps: number;
  activation: Activation;
  qkvBias: boolean;
  labels: readonly string[];
}

/** x + attention(norm x), then x + MLP(norm x); every patch sees every other. */
function block(weights: Weights, c: VitConfig): Module {
  const { hiddenSize: d, numHeads, qkvBias, normEps: eps } = c;
  const at = (name: string, bias = true, inputs = d, outputs = d) =>
    linear(weights.at(name), inputs, outputs, { bias });
  const norm1 = layerNorm(weights.at("layernorm_before"), d, { eps });
  const projections = ["q_proj", "k_proj", "v_proj"];
  const qkv: Siblings = { members: projections.map((name) => at(`attention.${name}`, qkvBias)) };
  const out = at("attention.o_proj");
  const norm2 = layerNorm(weights.at("layernorm_after"), d, { eps });
  const up = at("mlp.fc1", true, d, c.intermediateSize);
  const down = at("mlp.fc2", true, c.intermediateSize, d);
  const options = { queryScale: Math.sqrt(numHeads / d), causal: false, layer: 0 };
  return {
    path: weights.path,
    children: [norm1, ...qkv.members, out, norm2, up, down],
    siblings: qkv,
    forward(x, context) {
      const { tape } = context;
      const heads = callHeads(qkv, call(norm1, x, context), numHeads, context);
      const mixed = attend(options, ...heads, context).reshape(x.shape);
      const h = ops.add(tape, x, call(out, mixed, context));
      const inner = encoderOps.activate(tape, call(up, call(norm2, h, context), context), c.activation);
      return ops.add(tape, h, call(down, inner, context));
    },
  };
}

function patchCount({ image, patchSize }: VitConfig): number {
  return (image.height / patchSize) * (image.width / patchSize);
}

/** A convolution whose stride is its size: its weight, seen as a matrix, maps patches to vectors. */
function patchProjection(weights: Weights, { hiddenSize: d, patchSize, image }: VitConfig): Leaf {
  const weight = weights.tensor("weight", [d, image.channels, patchSize, patchSize]);
  const bias = weights.tensor("bias", [d], { storage: "f32", init: "zeros" });
  const layer = {
    path: weights.path,
    children: [],
    tensors: { weight, bias },
    forward(patches: Tensor, context: Context): Tensor {
      const { weight, bias } = tensorsOf(layer, context);
      return ops.linear(context.tape, patches, weight.reshape([d, weight.size / d]), { bias });
    },
  };
  return layer;
}

/** pixels `[B, C, H, W]` → a vector for the image, then one for each patch: `[B, 1 + N, d]`. */
function embeddings(weights: Weights, c: VitConfig): Leaf {
  const { hiddenSize: d, patchSize } = c;
  const count = patchCount(c);
  const projection = patchProjection(weights.at("patch_embeddings.projection"), c);
  const table = {
    path: weights.path,
    children: [projection],
    tensors: {
      cls_token: weights.tensor("cls_token", [1, 1, d], { init: "zeros" }),
      position_embeddings: weights.tensor("position_embeddings", [1, count + 1, d]),
    },
    forward(pixels: Tensor, context: Context): Tensor {
      const { tape } = context;
      const { cls_token, position_embeddings } = tensorsOf(table, context);
      const [batch = 0] = pixels.shape;
      const shape = [batch, count + 1];
      const patches = call(projection, encoderOps.patches(tape, pixels, patchSize), context);
      // Row 0 of each image is left for `cls_token`: id 0 there, and elsewhere an id outside the table, which gives 0.
      const rows = Uint32Array.from({ length: batch * count }, (_, i) => i + Math.floor(i / count) + 1);
      const ids = Uint32Array.from({ length: batch * (count + 1) }, (_, i) => Math.min(1, i % (count + 1)));
      const index = fromArray(pixels.device, rows, [rows.length]);
      const placed = ops.scatterRows(tape, patches.reshape([rows.length, d]), index, ids.length);
      const first = ops.embedding(tape, cls_token.reshape([1, d]), fromArray(pixels.device, ids, shape));
      const x = ops.add(tape, first, placed.reshape([...shape, d]));
      const places = position_embeddings.reshape([count + 1, d]);
      return ops.add(tape, x, ops.embedding(tape, places, context.geometry.positions));
    },
  };
  return table;
}

/** ViT with its head for image classification. */
export function buildVit(device: Device, weights: Weights, c: VitConfig): Built<"image-classification"> {
  const { hiddenSize, numLayers, labels } = c;
  const body = weights.at("vit");
  const embed = embeddings(body.at("embeddings"), c);
  const blocks = Array.from({ length: numLayers }, (_, i) => block(body.at(`layers.${i}`), c));
  const norm = layerNorm(body.at("layernorm"), hiddenSize, { eps: c.normEps });
  const layers = stack(body.path, blocks, [norm]);
  const out = linear(weights.at("classifier"), hiddenSize, labels.length, { bias: true, fresh: true });
  const root: Module = {
    path: weights.path,
    children: [embed, layers, out],
    forward(x, context) {
      return call(out, firstTokens(call(layers, x, context), context), context);
    },
  };
  /** Each image is a row of its patches, after the vector for the whole. */
  const place = (pixels: Tensor) =>
    placeTokens(device, wholeRows(pixels.shape[0] as number, 1 + patchCount(c)));
  return {
    task: "image-classification",
    device,
    root,
    config: c,
    labels,
    image: c.image,
    logits(pixels, options) {
      const context = { ...options, geometry: place(pixels) };
      return call(root, call(embed, pixels, context), context);
    },
    release() {},
  };
}
