import { shown } from "../util/shown.ts";

/** A setting by the name and the value that it has here. */
export interface Translated {
  readonly key: string;
  readonly value: unknown;
  /** Another name says it more exactly, if it is there. */
  readonly isDefault?: boolean;
}

/** What a name of TRL, transformers, PEFT or mlx-lm means here, where there is no option for it. */
interface ForeignName {
  /** Values that mean what is done anyway. */
  readonly accepts?: (value: unknown) => boolean;
  /** The same as settings of ours; undefined where it has none. */
  readonly translate?: (value: unknown) => readonly Translated[] | undefined;
  /** Why another value is refused, or what to write instead. */
  readonly instead: string;
}

const one = (...values: readonly unknown[]) => ({ accepts: (value: unknown) => values.includes(value) });
const any = { accepts: () => true };
const set = (key: string, value: unknown): readonly Translated[] => [{ key, value }];

/** PEFT's task types, as tasks. */
const TASK_TYPES: Readonly<Record<string, string>> = {
  CAUSAL_LM: "causal-lm",
  SEQ_CLS: "sequence-classification",
  TOKEN_CLS: "token-classification",
  FEATURE_EXTRACTION: "sentence-embedding",
};

const taskType: ForeignName = {
  translate: (value) =>
    Object.hasOwn(TASK_TYPES, String(value)) ? set("task", TASK_TYPES[String(value)]) : undefined,
  instead: "give task",
};

const F32 = "adapters are trained in 32 bits, on a model held as it is stored: leave it out";
const NO_HUB = "nothing is uploaded: give the folder to `hf upload`";
const STEPS = "give it in steps";
const DATA =
  "rows are read from files: `hf download NAME --repo-type dataset --local-dir rows` fetches them; then give data, the file or files of rows to learn from";

/** Names that people have in their configurations, by what they are for. */
const FOREIGN: Readonly<Record<string, ForeignName>> = {
  // transformers and TRL
  use_peft: { ...one(true), instead: "a whole model is not trained here" },
  lora_task_type: taskType,
  task_type: taskType,
  inference_mode: { ...one(false), instead: "an adapter that is trained is not frozen" },
  fan_in_fan_out: { ...one(false), instead: "the model's own layers say it: leave it out" },
  bf16: { ...one(false), instead: `${F32}; precision: mixed keeps activations in f16` },
  fp16: {
    ...one(false),
    translate: (value) =>
      value === true ? [{ key: "precision", value: "mixed", isDefault: true }] : undefined,
    instead: "give precision",
  },
  tf32: { ...one(false), instead: F32 },
  dtype: { ...one("auto"), instead: F32 },
  torch_dtype: { ...one("auto"), instead: F32 },
  bnb_4bit_compute_dtype: { ...one("float32"), instead: F32 },
  load_in_4bit: {
    ...one(false),
    translate: (value) =>
      value === true ? [{ key: "quantization", value: "nf4", isDefault: true }] : undefined,
    instead: "give quantization",
  },
  load_in_8bit: {
    ...one(false),
    instead: "LLM.int8 is not known; quantization: int8 holds weights in 8 bits",
  },
  attn_implementation: { instead: "attention has one implementation here: leave it out" },
  use_weighting: { ...one(false), instead: "WPO's weights are not computed: leave it out" },
  use_liger_kernel: { ...one(false), instead: "kernels are this program's own: leave it out" },
  torch_compile: { ...one(false), instead: "kernels are this program's own: leave it out" },
  gradient_checkpointing_kwargs: { ...any, instead: "" },
  activation_offloading: { ...one(false), instead: "give gradient_checkpointing" },
  trust_remote_code: { ...one(false), instead: "code of a repository is never run" },
  do_train: { ...one(true), instead: "train trains; eval evaluates" },
  do_eval: { ...one(true), instead: "leave out eval_data and valid_split" },
  eval_strategy: { ...one("steps"), instead: `${STEPS}: eval_steps; without eval_data nothing is evaluated` },
  evaluation_strategy: {
    ...one("steps"),
    instead: `${STEPS}: eval_steps; without eval_data nothing is evaluated`,
  },
  eval_on_start: { ...one(true), instead: "evaluations begin before the first step" },
  save_strategy: {
    ...one("steps"),
    translate: (value) => (value === "no" ? set("save_steps", 0) : undefined),
    instead: `${STEPS}: save_steps`,
  },
  logging_strategy: { ...one("steps"), instead: `${STEPS}: logging_steps` },
  logging_first_step: { ...one(false), instead: "metrics.jsonl has every step" },
  save_safetensors: { ...one(true), instead: "nothing else is written" },
  save_only_model: { ...one(false), instead: "checkpoints can always be resumed; save_steps: 0 writes none" },
  push_to_hub: { ...one(false), instead: NO_HUB },
  hub_model_id: { instead: NO_HUB },
  hub_strategy: { instead: NO_HUB },
  run_name: { instead: "a run is called as its folder: give output_dir" },
  project_name: { instead: "a run is called as its folder: give output_dir" },
  logging_dir: { instead: "what is reported lies in output_dir" },
  dataloader_num_workers: { ...one(0), instead: "rows are read beside the device's work: leave it out" },
  dataloader_drop_last: { ...one(false), instead: "the last rows of an epoch are learnt, too" },
  dataset_name: { instead: DATA },
  dataset_config: { instead: DATA },
  dataset_train_split: { ...one("train"), instead: DATA },
  dataset_test_split: { ...one("test"), instead: "give eval_data" },
  dataset_num_proc: { instead: "rows are read by one process: leave it out" },
  dataset_text_field: {
    ...one("text"),
    translate: (value) => (typeof value === "string" ? set("columns", { text: value }) : undefined),
    instead: "give columns: { text: NAME }",
  },
  pad_to_multiple_of: { instead: "rows are padded as kernels like it: leave it out" },
  remove_unused_columns: { ...any, instead: "" },
  ddp_find_unused_parameters: { ...one(false), instead: "one device is used: leave it out" },
  env: { instead: "set variables in the shell" },
  // mlx-lm
  train: { ...one(true), instead: "train trains; eval evaluates" },
  test: { ...one(false), instead: "eval evaluates" },
  test_batches: { ...any, instead: "" },
  training_mode: { ...one("normal"), instead: "give task and loss_type" },
  fine_tune_type: {
    ...one("lora"),
    translate: (value) => (value === "dora" ? set("use_dora", true) : undefined),
    instead: "a whole model is not trained here",
  },
  clear_cache_threshold: {
    ...one(0),
    instead: "the device's memory is kept by a plan of its own: leave it out",
  },
  hf_dataset: { instead: DATA },
};

/** Whether a name is one of those tools'. */
export const isForeign = (name: string) => Object.hasOwn(FOREIGN, name);

/** What a setting of another tool is here: settings, none where it says what is done anyway, or a text that says why not. */
export function translate(name: string, value: unknown): readonly Translated[] | string {
  const { accepts, translate, instead } = FOREIGN[name] as ForeignName;
  if (accepts?.(value)) return [];
  return translate?.(value) ?? `${name} is ${shown(value)}: ${instead}`;
}
