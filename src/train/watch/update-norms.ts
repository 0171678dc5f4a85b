import type { Parameter, Parameters } from "../../nn/parameters.ts";
import type { TrainState } from "../state.ts";
import type { UpdateNorms } from "./observer.ts";

/** Looks at a run's parameters now and then, and finds how far each layer has moved from one look to the next. */
export class UpdateWatch {
  readonly #parameters: Parameters;
  /** What they were when last looked at. */
  #before: { readonly step: number; readonly values: Promise<Float32Array> };

  constructor({ parameters, step }: Pick<TrainState, "parameters" | "step">) {
    this.#parameters = parameters;
    this.#before = { step, values: this.#read() };
  }

  #read(): Promise<Float32Array> {
    const values = this.#parameters.flat.read();
    values.catch(() => {}); // whoever looks next is told
    return values;
  }

  /** Reads the parameters, which have to be those of this step. */
  async look(step: number): Promise<UpdateNorms> {
    const { entries, flat } = this.#parameters;
    const before = this.#before;
    const values = this.#read();
    this.#before = { step, values };
    return {
      step,
      since: before.step,
      norms: layerNorms(entries, flat.byteOffset, await before.values, await values),
    };
  }
}

/**
 * ‖after − before‖₂ of each layer's parameters, by its path: `model.layers.3`. What is in no layer counts as a layer by its
 * own path.
 * @param origin byte offset of the flat buffer that both are copies of
 */
export function layerNorms(
  entries: readonly Parameter[],
  origin: number,
  before: Float32Array,
  after: Float32Array,
): Record<string, number> {
  const squares = new Map<string, number>();
  for (const { name, tensor } of entries) {
    const layer = layerOf(name);
    const start = (tensor.byteOffset - origin) / Float32Array.BYTES_PER_ELEMENT;
    let sum = squares.get(layer) ?? 0;
    for (let i = start; i < start + tensor.size; i++)
      sum += ((after[i] as number) - (before[i] as number)) ** 2;
    squares.set(layer, sum);
  }
  return Object.fromEntries([...squares].map(([layer, sum]) => [layer, Math.sqrt(sum)]));
}

/** Of `model.layers.3.self_attn.q_proj.lora_A` the path until its first number, or the module's where there is none. */
function layerOf(name: string): string {
  return /^.*?\.\d+(?=\.)/.exec(name)?.[0] ?? name.replace(/\.[^.]*$/, "");
}
