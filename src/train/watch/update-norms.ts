import type { Tensor } from "../../gpu/tensor.ts";
import type { Parameter, Parameters } from "../../nn/parameters.ts";
import { type Distribution, distributionOf } from "../../util/distribution.ts";
import type { TrainState } from "../state.ts";
import type { UpdateNorms } from "./observer.ts";

/** Looks at a run's parameters now and then, and finds how far each layer has moved from one look to the next. */
export class UpdateWatch {
  #parameters: Parameters;
  /** What they were when last looked at. */
  #before: { readonly step: number; readonly values: Promise<Float32Array> };

  constructor({ parameters, step }: Pick<TrainState, "parameters" | "step">) {
    this.#parameters = parameters;
    this.#before = { step, values: this.#read() };
  }

  /** Goes on with the same parameters on another device, where the run does behind a step. */
  async follow({ parameters, step }: Pick<TrainState, "parameters" | "step">): Promise<void> {
    this.#parameters = parameters;
    await this.#before.values.catch(() => {
      this.#before = { step, values: this.#read() };
    });
  }

  #read(): Promise<Float32Array> {
    const values = this.#parameters.flat.read();
    values.catch(() => {}); // whoever looks next is told
    return values;
  }

  /** Reads the parameters, which have to be those of this step. */
  async look(step: number): Promise<UpdateNorms> {
    const { entries, flat } = this.#parameters;
    const [before, values] = [await this.#before.values, await this.#read()];
    const changes = layerChanges(entries, flat.byteOffset, before, values);
    const norms = Object.entries(changes).map(([layer, { squares }]) => [layer, Math.sqrt(squares)]);
    const { step: since } = this.#before;
    this.#before = { step, values: Promise.resolve(values) };
    return { step, since, norms: Object.fromEntries(norms), changes };
  }
}

/**
 * How the values of each layer's parameters have changed, by its path: `model.layers.3`. What is in no layer counts as a layer
 * by its own path.
 * @param origin byte offset of the flat buffer that both are copies of
 */
function layerChanges(
  entries: readonly Parameter[],
  origin: number,
  before: Float32Array,
  after: Float32Array,
): Record<string, Distribution> {
  const layers = new Map<string, Tensor[]>();
  for (const { name, tensor } of entries) {
    const layer = layerOf(name);
    layers.set(layer, [...(layers.get(layer) ?? []), tensor]);
  }
  const changes = [...layers].map(([layer, tensors]) => {
    const all = new Float32Array(tensors.reduce((sum, { size }) => sum + size, 0));
    let next = 0;
    for (const { byteOffset, size } of tensors) {
      const start = (byteOffset - origin) / Float32Array.BYTES_PER_ELEMENT;
      for (let i = start; i < start + size; i++) all[next++] = (after[i] as number) - (before[i] as number);
    }
    return [layer, distributionOf(all)] as const;
  });
  return Object.fromEntries(changes);
}

/** Of `model.layers.3.self_attn.q_proj.lora_A` the path until its first number, or the module's where there is none. */
function layerOf(name: string): string {
  return /^.*?\.\d+(?=\.)/.exec(name)?.[0] ?? name.replace(/\.[^.]*$/, "");
}
