import * as encoderOps from "../../autograd/encoder-ops.ts";
import * as ops from "../../autograd/ops.ts";
import type { Tape } from "../../autograd/tape.ts";
import { fromArray, type Tensor } from "../../gpu/tensor.ts";
import { type Branch, isBranch } from "../../nn/branch.ts";
import { call, type Module, modules, type Wrap } from "../../nn/module.ts";
import { fail } from "../../util/fail.ts";
import type { Random } from "../../util/random.ts";
import { kaimingUniform } from "../lora/initial/kaiming.ts";
import { normal } from "../lora/initial/normal.ts";
import type { Adaptable, Method, Site, SiteTensors, TensorPlan, TensorPlans, WrapGiven } from "../method.ts";
import { siteSeed } from "../sites/site-seed.ts";
import { findWhole } from "../trained-whole.ts";
import {
  ACTIVATION_OF,
  type BottleneckOptions,
  type BottleneckShape,
  DEFAULT_PRESET,
  shapeOf,
} from "./bottleneck-options.ts";

/** Bottleneck adapters with their options. */
export interface Bottleneck extends Method {
  /** No type of PEFT's: the name by which the engine tells it from others. */
  readonly type: "BOTTLENECK";
  /** As given. */
  readonly options: BottleneckOptions;
  /** All values, those of the published configuration where nothing else is given. */
  readonly shape: BottleneckShape;
}

/** The types of models that AdapterHub has these places for, of those that the engine has. */
export const MODEL_TYPES = ["bert", "roberta", "xlm-roberta", "distilbert", "gpt2", "llama", "mistral"];

/** Of the new LayerNorm, as PyTorch has it. */
const EPS = 1e-5;

/**
 * Bottleneck adapters: small networks up(act(down(h))) in every layer, behind attention and the MLP or beside them, each
 * with a residual connection around it. Houlsby et al. 2019, arXiv 1902.00751; Pfeiffer et al. 2020, arXiv 2005.00247;
 * He et al. 2021, arXiv 2110.04366; as in AdapterHub's `methods/modeling.py` and `methods/bottleneck.py`.
 * @throws LoraError for an option that there is not, a value that is not wanted, and for what contradicts itself
 */
export function bottleneck(given: BottleneckOptions = {}): Bottleneck {
  const shape = shapeOf(given);
  const options = { adapterConfig: DEFAULT_PRESET, ...given };
  // Of the branches of every model that it was attached to: settled with its sites, and asked for behind them.
  const sizes = new WeakMap<Module, Size>();
  return {
    type: "BOTTLENECK",
    options,
    shape,
    sites(model) {
      const found = placesIn(model, shape);
      for (const [branch, size] of found) sizes.set(branch, size);
      return [...found.keys()];
    },
    saved: (model) => findWhole(model, options),
    tensors: (site) => plansOf(sizes.get(site) as Size, shape),
    wrap: (site, given) => bottleneckWrap(site, given, shape),
  };
}

/** Widths of an adapter: of the residual stream, and of the bottleneck. */
interface Size {
  readonly outer: number;
  readonly inner: number;
}

/** The branches with an adapter, and its widths. @throws LoraError where the model has no such places, or a value no meaning */
function placesIn(model: Adaptable, shape: BottleneckShape): Map<Branch, Size> {
  const { modelType = "", name = "the model", config } = model;
  if (!MODEL_TYPES.includes(modelType) || !config) {
    const got = `${name} is a ${modelType} model, of whose layers AdapterHub has no such adapters`;
    return fail("bottleneck", got, `take LoRA; models with such adapters are ${MODEL_TYPES.join(", ")}`);
  }
  const branches = [...modules(model.root)].filter(isBranch);
  const isChosen = ({ of }: Branch) => (of === "attention" ? shape.mhAdapter : shape.outputAdapter);
  const numbered = (["attention", "mlp"] as const).flatMap((of) => [
    ...branches.filter((branch) => branch.of === of).entries(),
  ]);
  const layers = new Map(numbered.map(([layer, branch]) => [branch, layer]));
  const alien = shape.leaveOut.filter((layer) => layer >= config.numLayers);
  if (alien.length > 0) {
    const got = `leaveOut names ${alien.join(", ")}, and ${name} has ${config.numLayers} layers`;
    fail("bottleneck", got, "layers count from 0");
  }
  const chosen = branches.filter(
    (branch) => isChosen(branch) && !shape.leaveOut.includes(layers.get(branch) as number),
  );
  if (chosen.length === 0) fail("bottleneck", "leaveOut leaves no layer", "leave some layers in");
  // AdapterHub raises here: in layers that normalise before attention and MLP it has no sum to take.
  if (shape.residualBeforeLn === "post_add" && !shape.isParallel && chosen.some(({ norm }) => !norm)) {
    const got = `residualBeforeLn is "post_add", which layers of a ${modelType} model do not have`;
    fail("bottleneck", got, "make it true or false");
  }
  const outer = config.hiddenSize;
  return new Map(
    chosen.map((branch) => [
      branch,
      { outer, inner: innerWidth(outer, shape, layers.get(branch) as number) },
    ]),
  );
}

/** @throws LoraError where there is no reduction factor for the layer */
function innerWidth(outer: number, { reductionFactor: given }: BottleneckShape, layer: number): number {
  const factor = typeof given === "number" ? given : (given[layer] ?? given.default);
  if (factor === undefined) {
    const got = `reductionFactor has none for layer ${layer}`;
    return fail("bottleneck", got, "give one for each layer, or a default: { default: 16 }");
  }
  return Math.max(1, Math.floor(outer / factor));
}

function plansOf({ outer, inner }: Size, { lnAfter, scaling, initWeights }: BottleneckShape): TensorPlans {
  const matrix = (rows: number, columns: number): TensorPlan => {
    const [shape, count] = [[rows, columns], rows * columns] as const;
    if (initWeights === "bert") return { shape, begin: normal(count, 0.02) };
    return { shape, begin: (random) => Float32Array.from({ length: count }, () => 0.01 * cutOff(random)) };
  };
  const startsIdle = initWeights === "mam_adapter";
  const factors = scaling === "learned" ? 1 : outer;
  return {
    down_weight: startsIdle ? kaimingUniform([inner, outer]) : matrix(inner, outer),
    down_bias: { shape: [inner] },
    up_weight: startsIdle ? { shape: [outer, inner] } : matrix(outer, inner),
    up_bias: { shape: [outer] },
    ...(typeof scaling === "string" ? { scaling: ones(factors) } : {}),
    ...(lnAfter ? { norm_weight: ones(outer), norm_bias: { shape: [outer] } } : {}),
  };
}

const ones = (count: number): TensorPlan => ({
  shape: [count],
  begin: () => new Float32Array(count).fill(1),
});

/** N(0, 1) without what lies beyond two deviations. */
function cutOff(random: Random): number {
  for (;;) {
    const value = random.normal();
    if (Math.abs(value) <= 2) return value;
  }
}

/** What an adapter reads, and what it adds to. */
interface Ends {
  readonly input: Tensor;
  readonly residual: Tensor;
}

function bottleneckWrap({ module, tensors }: Site, { index }: WrapGiven, shape: BottleneckShape): Wrap {
  const { norm } = module as Branch;
  return (x, context, next) => {
    const { tape, training } = context;
    const given = next(x, context);
    const normed = (sum: Tensor) => (norm ? call(norm, sum, context) : sum);
    const { input, residual } = shape.isParallel
      ? { input: x, residual: given }
      : sequentialEnds(given, shape, { sum: () => ops.add(tape, given, x), normed });
    const drop = { p: training ? shape.dropout : 0, seed: siteSeed(context.seed, index) };
    const update = ops.dropout(tape, upOf(tape, tensors, input, shape), drop);
    const ownNorm = (y: Tensor) => layerNorm(tape, tensors, y);
    if (!shape.lnAfter) return plusScaled(tape, residual, update, tensors, shape);
    if (shape.adapterResidualBeforeLn && !shape.isParallel)
      return ownNorm(plusScaled(tape, residual, update, tensors, shape));
    return ops.add(tape, residual, ownNorm(scaled(tape, update, tensors, shape)));
  };
}

/**
 * Of an adapter behind a branch.
 * @param given what the branch gave
 * @param stream the sum of that and of the residual stream, and what the layer makes of such a sum
 */
function sequentialEnds(
  given: Tensor,
  { originalLnBefore, residualBeforeLn }: BottleneckShape,
  stream: { sum(): Tensor; normed(sum: Tensor): Tensor },
): Ends {
  const sum = originalLnBefore ? stream.sum() : given;
  const input = originalLnBefore ? stream.normed(sum) : given;
  if (residualBeforeLn === true) return { input, residual: given };
  return { input, residual: residualBeforeLn === "post_add" ? sum : input };
}

/** up(act(down x)). */
function upOf(
  tape: Tape | undefined,
  tensors: SiteTensors,
  x: Tensor,
  { nonLinearity }: BottleneckShape,
): Tensor {
  const down = ops.linear(tape, x, tensors.down_weight as Tensor, { bias: tensors.down_bias });
  const inner = encoderOps.activate(tape, down, ACTIVATION_OF[nonLinearity]);
  return ops.linear(tape, inner, tensors.up_weight as Tensor, { bias: tensors.up_bias });
}

/** y + s · update. */
function plusScaled(
  tape: Tape | undefined,
  y: Tensor,
  update: Tensor,
  tensors: SiteTensors,
  shape: BottleneckShape,
): Tensor {
  const { scaling } = shape;
  if (typeof scaling === "number") return ops.add(tape, y, update, scaling);
  return ops.add(tape, y, scaled(tape, update, tensors, shape));
}

/** s · update. */
function scaled(
  tape: Tape | undefined,
  update: Tensor,
  tensors: SiteTensors,
  { scaling }: BottleneckShape,
): Tensor {
  if (typeof scaling === "number") return scaling === 1 ? update : ops.scale(tape, update, scaling);
  const factors = tensors.scaling as Tensor;
  if (scaling === "channel") return ops.scaleColumns(tape, update, factors);
  // One factor for all columns is a product of it with a column of ones.
  const { device, columns } = update;
  const column = fromArray(device, new Float32Array(columns).fill(1), [columns, 1]);
  return ops.scaleColumns(tape, update, ops.linear(tape, column, factors.reshape([1, 1])));
}

function layerNorm(tape: Tape | undefined, { norm_weight, norm_bias }: SiteTensors, y: Tensor): Tensor {
  return ops.layerNorm(tape, y, { weight: norm_weight as Tensor, bias: norm_bias as Tensor }, { eps: EPS });
}
