// Every option of every command, those of answers in answer-tables.ts, once: flags are these names in kebab case, configuration keys in snake_case.
// Names are TRL's and PEFT's, aliases mlx-lm's; defaults are the library's.
import { LORA_DEFAULTS } from "../adapters/lora.ts";
import { PACKING_STRATEGIES } from "../data/packing.ts";
import { TOKENIZE_DEFAULTS } from "../data/tokenize/tokenize-options.ts";
import { TRUNCATIONS } from "../data/tokenize/truncation.ts";
import { TASKS } from "../models/model.ts";
import { EVALUATION_DEFAULTS } from "../train/evaluate.ts";
import { SCHEDULES } from "../train/schedule.ts";
import { TRAINER_BOUNDS, TRAINER_DEFAULTS } from "../train/trainer.ts";
import { FACTOR, inWords, isWithin } from "../util/options.ts";
import {
  choice,
  flag,
  integer,
  integers,
  number,
  numbersByName,
  optionalText,
  targets,
  text,
  texts,
  textsByName,
} from "./options.ts";

/** Which model. */
export const MODEL_OPTIONS = {
  model: text({
    placeholder: "ref",
    help: "folder, URL or hub id owner/name[@revision] of the model",
    aliases: ["model_name_or_path"],
  }),
  revision: optionalText({
    placeholder: "name",
    help: "branch, tag or commit of a hub repository",
    aliases: ["model_revision"],
  }),
  token: optionalText({
    placeholder: "token",
    help: "access token of the hub; by default that of HF_TOKEN, else of hf auth login",
  }),
  verify: flag({
    fallback: false,
    help: "check every byte of the model and the adapter against the hub's digests, also what was checked before",
  }),
};

const TASK = choice({
  choices: TASKS,
  fallback: "causal-lm",
  help: "what the model learns",
});
const LABELS = texts({
  placeholder: "name",
  help: "names of the classes, in order; by default those of the adapter, the model or the data",
});

/** What chats are rendered with. */
export const CHAT_TEMPLATE = optionalText({
  placeholder: "file|name",
  help: "what chats are rendered with: a .jinja file, or the name of one of the model's templates",
  aliases: ["chat_template_path"],
});

const DATA_OPTIONS = {
  columns: textsByName({
    wanted: "a column for each name (prompt=question,completion=answer)",
    help: "the columns of the data, where they have other names: prompt=question,completion=answer",
  }),
  on_bad_row: choice({
    choices: ["error", "skip"],
    fallback: "error",
    help: "what a row is that cannot be used: an error, or left out and told",
  }),
  max_length: integer({
    fallback: undefined,
    min: 2,
    help: `tokens a row has at most; by default ${TOKENIZE_DEFAULTS.maxLength}, or what the model takes`,
    aliases: ["max_seq_length"],
  }),
  truncation: choice({
    choices: TRUNCATIONS,
    fallback: TOKENIZE_DEFAULTS.truncation,
    help: "what to do with a longer row: keep its start, its end, or its completion whole with the prompt's end, or leave it out",
  }),
  completion_only_loss: flag({
    fallback: TOKENIZE_DEFAULTS.maskPrompt,
    help: "learn the completions only, not the prompts",
    aliases: ["mask_prompt"],
  }),
  assistant_only_loss: flag({
    fallback: TOKENIZE_DEFAULTS.assistantOnlyLoss,
    help: "of chats learn what the assistant writes only, with the token that ends its turn",
  }),
  mask_history: flag({
    fallback: TOKENIZE_DEFAULTS.maskHistory,
    help: "of what the assistant writes learn the last message only",
  }),
  chat_template: CHAT_TEMPLATE,
};

const VALID_SPLIT = number({
  fallback: 0,
  min: 0,
  below: 1,
  help: "share of the rows that is held out to evaluate on, by what they hold: the same rows every time",
});

const CHECK_DATA = flag({
  fallback: true,
  help: "stop where the rows would teach nothing, or no end; what inspect calls errors",
});

/** Of all that is random. */
export const SEED = integer({
  fallback: TRAINER_DEFAULTS.seed,
  min: 0,
  help: "the same seed on the same device gives the same result",
});
/** Which adapter. */
export const ADAPTER_PATH = optionalText({
  placeholder: "ref",
  help: "folder, URL or hub id of a PEFT LoRA adapter",
  aliases: ["adapter"],
});
/** Which version of it. */
export const ADAPTER_REVISION = optionalText({
  placeholder: "name",
  help: "branch, tag or commit of the adapter, where that is a hub repository",
});
const TRAIN_BATCH = "rows in a micro-batch, or packed sequences: more need more memory";

/** `webgpu-lora train`. */
export const TRAIN_OPTIONS = {
  ...MODEL_OPTIONS,
  task: TASK,
  data: text({
    placeholder: "path",
    help: "a file (.jsonl, .json, .csv, .tsv, .parquet or .txt, also with .gz), or a folder with train.jsonl or the like and, if wanted, valid.jsonl; for images a folder for each class",
  }),
  labels: LABELS,
  eval_data: optionalText({
    placeholder: "file",
    help: "a file to evaluate on, instead of the folder's valid.jsonl",
  }),
  valid_split: VALID_SPLIT,
  output_dir: text({
    placeholder: "folder",
    fallback: "adapters",
    help: "where the adapter is saved",
    aliases: ["adapter_path"],
  }),
  resume_adapter_file: optionalText({
    placeholder: "ref",
    help: "a PEFT LoRA adapter to continue from; its rank, alpha and targets count (weights only: AdamW begins anew)",
  }),
  adapter_revision: ADAPTER_REVISION,
  lora_r: integer({ fallback: LORA_DEFAULTS.r, min: 1, help: "rank", aliases: ["rank"] }),
  lora_alpha: number({
    fallback: LORA_DEFAULTS.alpha,
    above: 0,
    max: FACTOR.max,
    help: "the update is scaled by alpha / rank",
  }),
  lora_dropout: number({
    fallback: LORA_DEFAULTS.dropout,
    min: 0,
    below: 1,
    help: "dropout before the update",
  }),
  target_modules: targets({
    fallback: LORA_DEFAULTS.targetModules,
    help: "layers to adapt: names separated by commas, an expression for whole paths, or all-linear",
    aliases: ["lora_target_modules"],
  }),
  exclude_modules: targets({
    fallback: undefined,
    help: "layers of these to leave alone: names separated by commas, or an expression for whole paths",
  }),
  layers_to_transform: integers({
    min: 0,
    help: "adapt these layers only, by their numbers; for target_modules that are names",
  }),
  layers_pattern: texts({
    placeholder: "name",
    help: "what the list of the layers is called, such as layers or h; by default the first number in a path counts",
  }),
  rank_pattern: numbersByName({
    wanted: "a whole number of at least 1",
    accepts: (x) => Number.isSafeInteger(x) && x >= 1,
    help: "ranks other than lora_r, by names or expressions of layers; the first that matches counts",
  }),
  alpha_pattern: numbersByName({
    wanted: `a number${inWords(FACTOR)}`,
    accepts: (x) => isWithin(x, FACTOR),
    help: "alphas other than lora_alpha, in the same way",
  }),
  use_rslora: flag({ fallback: LORA_DEFAULTS.useRslora, help: "scale by alpha / √rank instead" }),
  modules_to_save: texts({
    placeholder: "name",
    help: "modules that are trained whole and saved with the adapter, by the end of their paths; the head of the task always is",
  }),
  max_steps: integer({
    fallback: undefined,
    min: 1,
    unset: -1,
    help: "optimiser steps; wins over num_train_epochs",
    aliases: ["iters"],
  }),
  num_train_epochs: number({
    fallback: TRAINER_DEFAULTS.epochs,
    ...TRAINER_BOUNDS.epochs,
    help: "passes over the data",
  }),
  per_device_train_batch_size: integer({
    fallback: TRAINER_DEFAULTS.batchSize,
    min: 1,
    help: TRAIN_BATCH,
    aliases: ["batch_size"],
  }),
  gradient_accumulation_steps: integer({
    fallback: TRAINER_DEFAULTS.gradientAccumulationSteps,
    min: 1,
    help: "micro-batches in an optimiser step",
    aliases: ["grad_accumulation_steps"],
  }),
  learning_rate: number({
    fallback: TRAINER_DEFAULTS.learningRate,
    ...TRAINER_BOUNDS.learningRate,
    help: "peak learning rate",
  }),
  lr_scheduler_type: choice({
    choices: SCHEDULES,
    fallback: TRAINER_DEFAULTS.schedule,
    help: "how the learning rate falls",
  }),
  warmup_steps: integer({
    fallback: TRAINER_DEFAULTS.warmupSteps,
    min: 0,
    help: "steps in which the learning rate rises from 0",
  }),
  weight_decay: number({
    fallback: TRAINER_DEFAULTS.weightDecay,
    ...TRAINER_BOUNDS.weightDecay,
    help: "AdamW's decoupled weight decay",
  }),
  max_grad_norm: number({
    fallback: TRAINER_DEFAULTS.maxGradNorm,
    ...TRAINER_BOUNDS.maxGradNorm,
    help: "gradients are clipped to this norm; 0: never",
  }),
  ...DATA_OPTIONS,
  packing: flag({
    fallback: Boolean(TRAINER_DEFAULTS.packing),
    help: "put several rows into one sequence of max_length, none of which sees another: nothing is padded",
    aliases: ["sample_packing"],
  }),
  packing_strategy: choice({
    choices: PACKING_STRATEGIES,
    fallback: "bfd",
    help: "bfd packs whole rows; bfd_split splits those longer than max_length, wrapped cuts wherever a sequence is full",
  }),
  group_by_length: flag({
    fallback: TRAINER_DEFAULTS.groupByLength,
    help: "draw rows of like lengths into a batch, so that little is padded",
  }),
  check_data: CHECK_DATA,
  gradient_checkpointing: flag({
    fallback: TRAINER_DEFAULTS.gradientCheckpointing,
    help: "recompute activations in the backward pass: less memory, a third more time",
    aliases: ["grad_checkpoint"],
  }),
  seed: SEED,
  logging_steps: integer({
    fallback: 10,
    min: 1,
    help: "steps between two reports",
    aliases: ["steps_per_report"],
  }),
  eval_steps: integer({
    fallback: 200,
    min: 0,
    help: "steps between two evaluations; 0: at start and end only",
    aliases: ["steps_per_eval"],
  }),
  save_steps: integer({
    fallback: 500,
    min: 0,
    help: "steps between two saved checkpoint-N folders; 0: none",
    aliases: ["save_every"],
  }),
};

/** `webgpu-lora eval`. */
export const EVAL_OPTIONS = {
  ...MODEL_OPTIONS,
  task: TASK,
  labels: LABELS,
  adapter_path: ADAPTER_PATH,
  adapter_revision: ADAPTER_REVISION,
  data: text({
    placeholder: "path",
    help: "a file as for train, or a folder with test.jsonl or valid.jsonl",
  }),
  batch_size: integer({
    fallback: EVALUATION_DEFAULTS.batchSize,
    min: 1,
    help: "sequences in a batch",
    aliases: ["per_device_eval_batch_size"],
  }),
  ...DATA_OPTIONS,
  json: flag({ fallback: false, help: "print one JSON object" }),
};

/** `webgpu-lora inspect`. */
export const INSPECT_OPTIONS = {
  ...MODEL_OPTIONS,
  data: text({
    placeholder: "path",
    help: "what train is to be given: a file, or a folder with train.jsonl and, if wanted, valid.jsonl",
  }),
  eval_data: optionalText({
    placeholder: "file",
    help: "a file whose rows should not be in the data, instead of the folder's valid.jsonl",
  }),
  valid_split: VALID_SPLIT,
  row: integers({ min: 1, help: "show these rows, by their numbers from 1, with all their tokens" }),
  ...DATA_OPTIONS,
  html: optionalText({ placeholder: "file", help: "write a page of it, too, that needs nothing else" }),
  json: flag({ fallback: false, help: "print one JSON object" }),
};

/** `webgpu-lora merge`. */
export const MERGE_OPTIONS = {
  ...MODEL_OPTIONS,
  task: TASK,
  labels: LABELS,
  adapter_path: text({
    placeholder: "ref",
    help: "folder, URL or hub id of the PEFT LoRA adapter",
    aliases: ["adapter"],
  }),
  adapter_revision: ADAPTER_REVISION,
  output_dir: text({
    placeholder: "folder",
    fallback: "fused_model",
    help: "where the merged model is saved",
    aliases: ["save_path"],
  }),
};
