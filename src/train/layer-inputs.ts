import type { LayerInputs } from "../adapters/lora/initial/eva.ts";
import { fromArray, scoped, type Tensor } from "../gpu/tensor.ts";
import type { Linear } from "../nn/linear.ts";
import type { Context, Module, Wrap } from "../nn/module.ts";
import { fail } from "../util/fail.ts";
import { checkOptions, integer, type Rules } from "../util/options.ts";

/** A text as a model reads it; only tokens with a label are looked at, where there are labels. */
export interface LabelledSequence {
  /** Ids of its tokens. */
  readonly inputIds: readonly number[];
  /** −100: nothing is predicted there. */
  readonly labels?: readonly number[];
}

/** The part of a model that this needs. */
interface Readable {
  readonly device: Tensor["device"];
  hidden(ids: Tensor, context?: Partial<Context>): Tensor;
  logits?(hidden: Tensor, context?: Partial<Context>): Tensor;
}

/** Options of {@link layerInputs}. */
export interface LayerInputOptions {
  /** Texts of a batch; 8 unless given. */
  readonly batchSize?: number;
}

const RULES: Rules<LayerInputOptions> = { batchSize: integer({ min: 1 }) };

/**
 * The inputs of a model's layers over texts, again and again, for EVA: through no adapter, one text at a time.
 * @throws LoraError where no text has a token to look at
 */
export function layerInputs(
  model: Readable,
  sequences: readonly LabelledSequence[],
  options: LayerInputOptions = {},
): LayerInputs {
  checkOptions("layerInputs", options, RULES);
  const { batchSize = 8 } = options;
  const used = sequences.filter((sequence) => tokensOf(sequence).length > 0);
  if (used.length === 0)
    fail("layerInputs", "no text has a token to look at", "give texts, labelled ones for EVA");
  return async function* (layers) {
    for (;;) {
      for (let first = 0; first < used.length; first += batchSize) {
        const batch = used.slice(first, first + batchSize);
        yield joined(await Promise.all(batch.map((sequence) => inputsOf(model, sequence, layers))));
      }
    }
  };
}

function tokensOf({ inputIds, labels }: LabelledSequence): number[] {
  return inputIds.flatMap((_, i) => (labels === undefined || labels[i] !== -100 ? [i] : []));
}

type Rows = ReadonlyMap<Linear, Float32Array>;

/** The inputs of one text's tokens; layers of one input have one array. */
async function inputsOf(
  model: Readable,
  sequence: LabelledSequence,
  layers: readonly Linear[],
): Promise<Rows> {
  const seen = new Map<Module, Tensor>();
  const reads = new Map<Tensor, { width: number; values: Promise<Float32Array> }>();
  const note: Wrap = (x, context, next, site) => {
    seen.set(site, x);
    // Before the layer that it lies in is done and its memory is used again.
    if (!reads.has(x)) reads.set(x, { width: x.columns, values: x.read() });
    return next(x, context);
  };
  const wraps = new Map<Module, Wrap>(layers.map((layer) => [layer, note]));
  const adapters = { wraps, joint: new Map(), copies: new Map() };
  const { device } = model;
  scoped(device, () => {
    const ids = fromArray(device, Uint32Array.from(sequence.inputIds), [1, sequence.inputIds.length]);
    const hidden = model.hidden(ids, { adapters });
    if (layers.some(({ isOutput }) => isOutput)) model.logits?.(hidden, { adapters });
    return undefined;
  });
  const rows = new Map<Tensor, Float32Array>();
  const tokens = tokensOf(sequence);
  for (const [input, { width, values }] of reads) rows.set(input, picked(await values, tokens, width));
  return new Map(
    layers.flatMap((layer) => {
      const input = seen.get(layer);
      return input ? [[layer, rows.get(input) as Float32Array] as const] : [];
    }),
  );
}

function picked(values: Float32Array, tokens: readonly number[], width: number): Float32Array {
  const rows = new Float32Array(tokens.length * width);
  for (const [k, token] of tokens.entries())
    rows.set(values.subarray(token * width, (token + 1) * width), k * width);
  return rows;
}

/** Several texts' inputs as one; layers of one input still have one array. */
function joined(parts: readonly Rows[]): Rows {
  const [first] = parts as [Rows];
  const byInput = new Map<Float32Array, Float32Array>();
  for (const [layer, rows] of first) {
    if (byInput.has(rows)) continue;
    const all = parts.map((part) => part.get(layer) as Float32Array);
    const whole = new Float32Array(all.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const part of all) {
      whole.set(part, at);
      at += part.length;
    }
    byInput.set(rows, whole);
  }
  return new Map([...first].map(([layer, rows]) => [layer, byInput.get(rows) as Float32Array]));
}
