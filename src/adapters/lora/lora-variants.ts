import { shown } from "../../util/shown.ts";
import type { StoredAdapter } from "../codec.ts";
import { type Obstacle, trainedWhole } from "../config-fields.ts";
import { MERGE, NO_MERGE } from "../remedies.ts";
import { listed } from "../stored-tensors.ts";
import { isTensorOf } from "../trained-whole.ts";
import type { PeftLoraConfig } from "./lora-fields.ts";

// Which values of each field mean plain LoRA, y += scale · lora_B · lora_A · x. Each remedy was tried with PEFT 0.21.0:
// `merge_and_unload` raises for some variants, and for others gives a model that is not the trained one.

/** Whether a value means plain LoRA, and what to say where it does not. */
interface Rule {
  isPlain(value: unknown): boolean;
  readonly what: string;
  readonly remedy: string;
  /** Why the field is not read; absent where it is, or where a value is refused. */
  readonly ignored?: string;
}

/** Subtracts what a changed initialisation put into the base weights, exactly. */
const SUBTRACT =
  'in Python with PEFT, given INITIAL (the adapter as it was saved before training): make init_lora_weights true in both adapter_config.json, then model = PeftModel.from_pretrained(base, TRAINED, adapter_name="trained"), model.load_adapter(INITIAL, "initial"), model.add_weighted_adapter(["trained", "initial"], [1.0, -1.0], "plain", combination_type="cat") and model.save_pretrained(OUT, selected_adapters=["plain"]); OUT/plain is plain LoRA';

/** Activated LoRA: the engine runs it, and there is no weight that does the same. */
const UNMERGED =
  "it has no merged form, and is used as it is, here or with PEFT; or train again as plain LoRA";

/** On the weight of a linear layer it is LoRA on the layer, and the file's tensors have the same names. */
const PARAMETERS = `where all of them are weights of linear layers, make target_parameters null in adapter_config.json and name the layers in target_modules ("q_proj.weight" becomes "q_proj"); else, ${MERGE}`;

/** Python's truth: none of false, null and []; an object counts, for PEFT reads {} as options with their defaults. */
const isOff = (value: unknown) => value === false || value === null || isEmpty(value);
const isEmpty = (value: unknown) => Array.isArray(value) && value.length === 0;
const off = (what: string, remedy = MERGE): Rule => ({ isPlain: isOff, what, remedy });
/** The engine goes by the field. */
const READ: Rule = { isPlain: () => true, what: "", remedy: "" };
/** It does not, because of this. */
const ignored = (why: string): Rule => ({ ...READ, ignored: why });

/** Of every field of PEFT's LoraConfig: it is read, ignored for a reason, or values of it are refused. */
export const LORA_FIELD_RULES: { readonly [K in keyof PeftLoraConfig]: Rule } = {
  alora_invocation_tokens: READ,
  alpha_pattern: READ,
  arrow_config: off("routing between adapters (Arrow)", "load one of the adapters that it routes to"),
  auto_mapping: READ,
  base_model_name_or_path: READ,
  bias: {
    isPlain: (value) => ["none", "all", "lora_only"].some((known) => known === value), // the tensors tell whether there are any
    what: "anything but none, all and lora_only",
    remedy: 'PEFT takes none other either; "none" is what plain LoRA has',
  },
  corda_config: ignored("how the adapter began; init_lora_weights says whether that matters"),
  ensure_weight_tying: READ,
  eva_config: ignored("how the adapter began: its ranks are those of the tensors"),
  exclude_modules: READ,
  fan_in_fan_out: ignored("each layer knows how its weight lies"),
  inference_mode: ignored("PEFT writes true into every file"),
  init_lora_weights: READ, // see initObstacle
  kasa_config: off("KaSA, which changes the base weights,"),
  layer_replication: READ,
  layers_pattern: READ,
  layers_to_transform: READ,
  loftq_config: READ,
  lora_alpha: READ,
  lora_bias: READ,
  lora_dropout: READ,
  lora_ga_config: ignored("how the adapter began; init_lora_weights says whether that matters"),
  megatron_config: off("a layer of Megatron", "convert the model to transformers, and train again there"),
  megatron_core: ignored("of megatron_config, which is refused"),
  modules_to_save: READ,
  monteclora_config: off("MonteCLoRA"),
  peft_type: READ,
  peft_version: ignored("files of all versions are read alike"),
  qalora_group_size: ignored("of use_qalora, which is refused"),
  r: READ,
  rank_pattern: READ,
  revision: READ,
  target_modules: READ,
  target_parameters: off("LoRA on bare parameters, such as those of fused experts,", PARAMETERS),
  task_type: READ,
  trainable_token_indices: READ,
  use_bdlora: off("a block-diagonal lora_A or lora_B"),
  use_dora: READ,
  use_qalora: off("pooling of the inputs of GPTQ layers (QALoRA)", NO_MERGE),
  use_rslora: READ,
  velora_config: off("a backward pass over compressed activations (VeLoRA)"),
};

/** What a configuration asks for that plain LoRA does not compute. `right` leaves out ill-formed fields. */
export function obstacles(
  config: PeftLoraConfig,
  right: (name: keyof PeftLoraConfig) => boolean,
): Obstacle[] {
  const names = (Object.keys(LORA_FIELD_RULES) as (keyof PeftLoraConfig)[]).filter(
    (name) => right(name) && !LORA_FIELD_RULES[name].isPlain(config[name]),
  );
  const found = names.map((name) => {
    const { what, remedy } = LORA_FIELD_RULES[name];
    return { problem: `${name} is ${shown(config[name])}: ${what} is not supported`, remedy };
  });
  const init = right("init_lora_weights") ? initObstacle(config.init_lora_weights) : undefined;
  return init ? [...found, init] : found;
}

/**
 * What an adapter of the engine has beside lora_A and lora_B at linear layers: where these are taken for the whole of it,
 * as in combining and in other tools' formats, it is refused.
 * @param stored the tensors of its file; none where only the configuration is known
 */
export function beyondPlainLora(
  config: PeftLoraConfig,
  { tensors, saved }: Partial<Pick<StoredAdapter, "tensors" | "saved">> = {},
): Obstacle[] {
  const whole = trainedWhole(config);
  const others = [...(saved?.keys() ?? [])].filter(
    (name) => !whole.some((module) => isTensorOf(name, module)),
  );
  const biases = others.filter((name) => name.endsWith(".bias"));
  const kept = others.filter((name) => !name.endsWith(".bias"));
  const kinds = new Set([...(tensors?.values() ?? [])].flatMap((named) => Object.keys(named)));
  const problems = [
    ...(config.init_lora_weights === "loftq"
      ? ['init_lora_weights is "loftq": it belongs to a base that was rounded with it']
      : []),
    ...(isOff(config.layer_replication)
      ? []
      : ["layer_replication is set: it belongs to a base whose layers are stacked anew"]),
    ...(isOff(config.alora_invocation_tokens)
      ? []
      : ["alora_invocation_tokens is set: the update is for the tokens behind these alone"]),
    ...(config.use_dora ? ["use_dora is true: the magnitude vector of DoRA has no place there"] : []),
    ...(config.lora_bias ? ["lora_bias is true: biases of lora_B have no place there"] : []),
    ...(biases.length > 0 ? [`bias is ${shown(config.bias)}: trained biases have no place there`] : []),
    ...(kinds.has("lora_embedding_A") ? ["the update of an embedding has no place there"] : []),
    ...(kinds.has("token_rows")
      ? ["trained rows of tokens (trainable_token_indices) have no place there"]
      : []),
    ...(kept.length > 0 ? [`${listed(kept)} of another base model have no place there`] : []),
  ];
  const remedy = "merge it into the model (webgpu-lora merge), and use that";
  const remedyOf = isOff(config.alora_invocation_tokens) ? remedy : UNMERGED;
  return problems.map((problem) => ({ problem, remedy: remedyOf }));
}

/** Names of initialisations that leave the base weights alone; PEFT reads some of them in any case. */
function isPlainInit(init: string): boolean {
  return ["eva", "orthogonal", "loftq"].includes(init) || ["gaussian", "mica"].includes(init.toLowerCase());
}

/** Initialisations that subtract from the base weights, so that the adapter fits the changed weights alone. */
function initObstacle(init: PeftLoraConfig["init_lora_weights"]): Obstacle | undefined {
  if (typeof init === "boolean" || isPlainInit(init)) return undefined;
  const named = `init_lora_weights is ${shown(init)}`;
  const remedy = INIT_REMEDIES.find(([expression]) => expression.test(init))?.[1];
  if (remedy === undefined) {
    const known =
      "PEFT 0.21.0 does not know it either; true is right where the base weights were left as they are";
    return { problem: `${named}: this initialisation is unknown`, remedy: known };
  }
  const problem = `${named}: this initialisation changes the base weights, so the adapter is wrong on the original ones`;
  return { problem, remedy };
}

const INIT_REMEDIES: readonly (readonly [RegExp, string])[] = [
  [/^pissa_niter_/, SUBTRACT], // drawn again on loading: merging would give other weights
  [
    /^(?:pissa|[oO][lL][oO][rR][aA])$/,
    `webgpu-lora convert ADAPTER --to peft --output OUT --model BASE makes plain LoRA of it; or ${MERGE}`,
  ],
  [/^(?:pissa|lora_ga)$/i, MERGE],
  [/^corda/, SUBTRACT], // PEFT cannot load it without the covariances of its training data
];

/** Why an adapter may be applied and merged, but not trained further as plain LoRA; undefined where it may. */
export function trainingLock({ init_lora_weights: init }: PeftLoraConfig): TrainingLock | undefined {
  if (typeof init === "boolean" || init.toLowerCase() !== "mica") return undefined;
  return {
    why: `init_lora_weights is ${shown(init)}: MiCA trains lora_A alone and keeps lora_B as it began, which is not supported`,
    help: "to go on as plain LoRA, which trains lora_B, too, make init_lora_weights true in adapter_config.json",
  };
}

/** Why an adapter must not be trained, and what to do about it. */
export interface TrainingLock {
  readonly why: string;
  readonly help: string;
}
