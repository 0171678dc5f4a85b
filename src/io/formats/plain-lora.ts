/** A matrix in main memory, row-major f32. */
export interface Matrix {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** LoRA of one linear layer: y += alpha / r · lora_B · lora_A · x. */
export interface PlainModule {
  /** `[r, in]`. */
  readonly lora_A: Matrix;
  /** `[out, r]`. */
  readonly lora_B: Matrix;
  readonly r: number;
  readonly alpha: number;
}

/** Plain LoRA, as the formats of other tools than PEFT hold it. */
export interface PlainLora {
  /** By module path, such as `model.layers.0.self_attn.q_proj`. */
  readonly modules: ReadonlyMap<string, PlainModule>;
  readonly dropout: number;
  /** The base model's name, where it is stated. */
  readonly base: string | null;
  /** Whether the model is known to have no layers beside those that are adapted. */
  readonly isWhole: boolean;
}

/** What such a format is written from: a PEFT adapter is one. */
export interface LoraSource {
  readonly config: {
    readonly base_model_name_or_path: string | null;
    readonly lora_dropout: number;
    readonly layers_to_transform: unknown;
  };
  readonly tensors: ReadonlyMap<
    string,
    {
      readonly lora_A: Matrix;
      readonly lora_B: Matrix;
      readonly r: number;
      /** What B · A is multiplied with. */
      readonly scale: number;
    }
  >;
  /** What was trained whole, by name. */
  readonly saved: ReadonlyMap<string, unknown>;
}

/** A module of a decoder's layer. */
const IN_LAYER = /^((?:.+\.)?layers)\.(\d+)\.(.+)$/;

/** Where in a decoder's layers a module lies; undefined outside them. */
export function placeInLayers(path: string): { stack: string; layer: number; inside: string } | undefined {
  const [, stack, layer, inside] = IN_LAYER.exec(path) ?? [];
  if (stack === undefined || inside === undefined) return undefined;
  return { stack, layer: Number(layer), inside };
}

/** The numbers of the layers that modules lie in, ascending. */
export function layersOf(paths: readonly string[]): number[] {
  const numbers = paths.flatMap((path) => placeInLayers(path)?.layer ?? []);
  return [...new Set(numbers)].sort((a, b) => a - b);
}

/** What occurs most often; of several the first. */
export function mostCommon<T>(values: readonly T[]): T | undefined {
  const counts = new Map<T, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].sort(([, a], [, b]) => b - a)[0]?.[0];
}
