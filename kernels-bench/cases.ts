// Every benchmark file, by the kernel that it measures. A new file is one line here (test/kernels-bench checks it).
import { cases as activation } from "./activation.bench.ts";
import { cases as adafactor } from "./adafactor.bench.ts";
import { cases as adamw } from "./adamw.bench.ts";
import { cases as adamw8bit } from "./adamw-8bit.bench.ts";
import { cases as attention } from "./attention.bench.ts";
import { cases as blockRotation } from "./block-rotation.bench.ts";
import { cases as branchGradients } from "./branch-gradients.bench.ts";
import { cases as cacheAppend } from "./cache-append.bench.ts";
import { cases as cast } from "./cast.bench.ts";
import { cases as columnScale } from "./column-scale.bench.ts";
import { cases as columns } from "./columns.bench.ts";
import { cases as crossEntropy } from "./cross-entropy.bench.ts";
import { cases as decoding } from "./decoding.bench.ts";
import { cases as dropout } from "./dropout.bench.ts";
import { cases as elementwise } from "./elementwise.bench.ts";
import { cases as embedding } from "./embedding.bench.ts";
import { cases as expertMix } from "./expert-mix.bench.ts";
import { cases as gatedActivation } from "./gated-activation.bench.ts";
import { cases as gradientNorm } from "./gradient-norm.bench.ts";
import { cases as groupedMatmul } from "./grouped-matmul.bench.ts";
import type { BenchCase } from "./harness.ts";
import { cases as host } from "./host.bench.ts";
import { cases as layerNorm } from "./layer-norm.bench.ts";
import { cases as lion } from "./lion.bench.ts";
import { cases as matmul } from "./matmul.bench.ts";
import { cases as muon } from "./muon.bench.ts";
import { cases as noise } from "./noise.bench.ts";
import { cases as orthogonality } from "./orthogonality.bench.ts";
import { cases as packedGate } from "./packed-gate.bench.ts";
import { cases as patches } from "./patches.bench.ts";
import { cases as pooling } from "./pooling.bench.ts";
import { cases as preference } from "./preference.bench.ts";
import { cases as quantise } from "./quantise.bench.ts";
import { cases as rankAllocation } from "./rank-allocation.bench.ts";
import { cases as rmsNorm } from "./rms-norm.bench.ts";
import { cases as rope } from "./rope.bench.ts";
import { cases as routing } from "./routing.bench.ts";
import { cases as rowNorms } from "./row-norms.bench.ts";
import { cases as rows } from "./rows.bench.ts";
import { cases as sampling } from "./sampling.bench.ts";
import { cases as segments } from "./segments.bench.ts";
import { cases as sgd } from "./sgd.bench.ts";
import { cases as siblingProducts } from "./sibling-products.bench.ts";
import { cases as splitSum } from "./split-sum.bench.ts";
import { cases as swapAxes } from "./swap-axes.bench.ts";
import { cases as tokenChoice } from "./token-choice.bench.ts";
import { cases as tokenRows } from "./token-rows.bench.ts";
import { cases as trainingStep } from "./training-step.bench.ts";

/** Cases by the name of their kernel's file in src/kernels, whole training steps, and the host's part in them. */
export type Registry = Readonly<Record<string, readonly BenchCase[]>>;

/** In the order of a report: what takes most of a training step first. */
export const REGISTRY: Registry = {
  "training-step": trainingStep,
  host,
  matmul,
  attention,
  "branch-gradients": branchGradients,
  "sibling-products": siblingProducts,
  "rms-norm": rmsNorm,
  "layer-norm": layerNorm,
  rope,
  "gated-activation": gatedActivation,
  activation,
  "grouped-matmul": groupedMatmul,
  routing,
  "packed-gate": packedGate,
  "expert-mix": expertMix,
  "cross-entropy": crossEntropy,
  segments,
  preference,
  adamw,
  "adamw-8bit": adamw8bit,
  sgd,
  lion,
  adafactor,
  muon,
  "gradient-norm": gradientNorm,
  elementwise,
  embedding,
  rows,
  "row-norms": rowNorms,
  orthogonality,
  "rank-allocation": rankAllocation,
  "block-rotation": blockRotation,
  columns,
  "token-choice": tokenChoice,
  "token-rows": tokenRows,
  "column-scale": columnScale,
  patches,
  pooling,
  "cache-append": cacheAppend,
  cast,
  quantise,
  decoding,
  dropout,
  noise,
  sampling,
  "split-sum": splitSum,
  "swap-axes": swapAxes,
};
