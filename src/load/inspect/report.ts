import type { ChangeFigures } from "../../adapters/inspect/change-figures.ts";

/** A layer that an adapter changes. */
export interface LayerReport extends Partial<ChangeFigures> {
  /** Its path in the model, such as `model.layers.0.self_attn.q_proj`. */
  readonly path: string;
  /** Size of its input; of an embedding, its rows. */
  readonly inFeatures: number;
  /** Size of its output. */
  readonly outFeatures: number;
  /** Rank of the change at most. */
  readonly r: number;
  /** lora_alpha, or the value of alpha_pattern. */
  readonly alpha: number;
  /** What B A is multiplied with. */
  readonly scale: number;
  /** Number format of its tensors, such as `F32`. */
  readonly dtype: string;
  /** ‖W‖ of the base model's weight in Frobenius' norm, where that was asked for. */
  readonly baseNorm?: number;
  /** ‖ΔW‖ / ‖W‖. */
  readonly ratio?: number;
}

/** A tensor of the file beside those of LoRA. */
export interface OtherTensor {
  /** As in the file. */
  readonly name: string;
  /** Its axes. */
  readonly shape: readonly number[];
  /** Number format, such as `F32`. */
  readonly dtype: string;
}

/** Something about an adapter that deserves attention. */
export interface AdapterFinding {
  /** An error makes the adapter useless. */
  readonly level: "error" | "warning";
  /** What was found; several lines where it is a report of several problems. */
  readonly message: string;
  /** What can be done; empty where the message says so. */
  readonly help: string;
}

/** What an adapter is and what it does. */
export interface AdapterReport {
  /** What the files belong to. */
  readonly label: string;
  /** `peft_type`. */
  readonly type: string;
  /** What adapter_config.json says and differs from PEFT's defaults. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Where it comes from, as far as its files say. */
  readonly origin: AdapterOrigin;
  /** All numbers of the file. */
  readonly parameters: number;
  /** Their bytes. */
  readonly bytes: number;
  /** How many numbers there are of each format, such as `F32`. */
  readonly dtypes: Readonly<Record<string, number>>;
  /** The layers that it changes; none where they can't be read. */
  readonly layers: readonly LayerReport[];
  /** What else the file holds: modules that were trained whole. */
  readonly others: readonly OtherTensor[];
  /** Whether the model with it differs from the base; undefined where that can't be told. */
  readonly changes: boolean | undefined;
  /** What the layers' norms are compared with. */
  readonly base?: string;
  /** What deserves attention, in no order. */
  readonly findings: readonly AdapterFinding[];
}

/** Where an adapter comes from, as far as its files say. */
export interface AdapterOrigin {
  /** `base_model_name_or_path`. */
  readonly baseModel: string | null;
  /** Of the base model. */
  readonly revision: string | null;
  /** Which PEFT wrote it. */
  readonly peftVersion: string | null;
  /** Fields at the head of README.md. */
  readonly card?: Readonly<Record<string, unknown>>;
}
