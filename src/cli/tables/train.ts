import { PACKING_STRATEGIES } from "../../data/packing.ts";
import { PRECISIONS } from "../../nn/module.ts";
import { OPTIMIZER_ALIASES, OPTIMIZERS } from "../../train/optimizers/registry.ts";
import { SCHEDULES } from "../../train/schedule.ts";
import { isShapeOption, SHAPE_KEYS } from "../../train/schedule-rules.ts";
import { TRAINER_BOUNDS, TRAINER_DEFAULTS } from "../../train/trainer-options.ts";
import { camelCase, snakeCase } from "../../util/names.ts";
import { FACTOR, inWords, isWithin } from "../../util/options.ts";
import { METHOD } from "../method-table.ts";
import {
  choice,
  choices,
  flag,
  integer,
  number,
  numbersByName,
  optionalBytes,
  optionalFlag,
  optionalNumber,
  optionalText,
  optionsByName,
  readBy,
  text,
  textOrAlone,
  texts,
} from "../options.ts";
import { COMM_HOOKS } from "../ranks.ts";
import { REPORTS } from "../watch/reports.ts";
import { DATA_OPTIONS, STREAMING, TRAINING_DATA, VALID_SPLIT } from "./data.ts";
import {
  ADAPTER_REVISION,
  BASE_OPTIONS,
  LABELS,
  LAYER_REPLICATION,
  MODEL_OPTIONS,
  SEED,
  TASK,
} from "./model.ts";
import { PREFERENCE_OPTIONS } from "./preferences.ts";

/** `webgpu-lora train`, without the options of the method. */
export const TRAIN_OPTIONS = {
  ...MODEL_OPTIONS,
  ...BASE_OPTIONS,
  layer_replication: LAYER_REPLICATION,
  task: TASK,
  ...TRAINING_DATA,
  labels: LABELS,
  eval_data: optionalText({
    placeholder: "file",
    help: "a file to evaluate on, instead of the folder's valid.jsonl",
  }),
  valid_split: VALID_SPLIT,
  streaming: STREAMING,
  output_dir: text({
    placeholder: "folder",
    fallback: "adapters",
    help: "where the adapter is saved",
    aliases: ["adapter_path"],
  }),
  resume_adapter_file: optionalText({
    placeholder: "ref",
    help: "a PEFT adapter to continue from; its method and options count (weights only: the optimiser begins anew; --resume goes on with a run)",
  }),
  adapter_revision: ADAPTER_REVISION,
  resume: textOrAlone({
    placeholder: "auto|folder",
    alone: "auto",
    help: "go on with a run from a checkpoint-N folder, to the same bytes as without a break; auto, or nothing: from the newest in output_dir, from the start where there is none",
    aliases: ["resume_from_checkpoint"],
  }),
  force: flag({
    fallback: false,
    help: "resume though settings, model or data are others than before",
  }),
  method: METHOD,
  num_layers: integer({
    fallback: undefined,
    min: 1,
    unset: -1,
    help: "adapt the model's last n layers only; by default all that target_modules names",
    aliases: ["lora_layers"],
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
    help: "rows in a micro-batch, or packed sequences: more need more memory",
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
  lr_scheduler_kwargs: optionsByName({
    wanted: `num_cycles=2, or {"num_cycles": 2}; known are ${SHAPE_KEYS.map(snakeCase).join(", ")}`,
    accepts: (name, value) => isShapeOption(camelCase(name), value),
    help: "what some schedules are told, such as min_lr_rate=0.1, num_cycles=2 or num_decay_steps=50",
  }),
  warmup_steps: integer({
    fallback: TRAINER_DEFAULTS.warmupSteps,
    min: 0,
    help: "steps in which the learning rate rises from 0",
  }),
  warmup_ratio: number({
    fallback: TRAINER_DEFAULTS.warmupRatio,
    min: 0,
    max: 1,
    help: "the same as a share of all steps, where warmup_steps is 0",
  }),
  optim: choice({
    choices: OPTIMIZERS,
    synonyms: OPTIMIZER_ALIASES,
    fallback: TRAINER_DEFAULTS.optimizer,
    help: "what updates the adapter; transformers' names for these are known, too",
    aliases: ["optimizer"],
  }),
  adam_beta1: optionalNumber({
    ...TRAINER_BOUNDS.beta,
    help: "decay of the mean of gradients; by default 0.9",
  }),
  adam_beta2: optionalNumber({
    ...TRAINER_BOUNDS.beta,
    help: "decay of the mean of their squares; by default 0.999, lion's 0.99",
  }),
  adam_epsilon: optionalNumber({
    ...TRAINER_BOUNDS.eps,
    help: "added to the root of that; by default 1e-8",
  }),
  momentum: optionalNumber({
    ...TRAINER_BOUNDS.beta,
    help: "of sgd, by default 0, and of muon, by default 0.95",
  }),
  nesterov: optionalFlag({ help: "look ahead by one momentum; by default muon does, and sgd does not" }),
  loraplus_lr_ratio: number({
    fallback: TRAINER_DEFAULTS.loraplusLrRatio,
    ...TRAINER_BOUNDS.rateFactor,
    help: "LoRA+: the learning rate of B over that of A",
  }),
  loraplus_lr_embedding: optionalNumber({
    ...TRAINER_BOUNDS.learningRate,
    help: "LoRA+: the learning rate of LoRA at embeddings; by default 1e-6 where loraplus_lr_ratio is not 1",
  }),
  rate_pattern: numbersByName({
    wanted: `a number${inWords(TRAINER_BOUNDS.rateFactor)}`,
    accepts: (x) => isWithin(x, TRAINER_BOUNDS.rateFactor),
    help: "factors of the learning rate, by names or expressions of parameters such as lora_B; the first that matches counts",
  }),
  weight_decay: number({
    fallback: TRAINER_DEFAULTS.weightDecay,
    ...TRAINER_BOUNDS.weightDecay,
    help: "weight decay of all but norms and biases, decoupled but for sgd",
  }),
  label_smoothing_factor: number({
    fallback: TRAINER_DEFAULTS.labelSmoothing,
    ...TRAINER_BOUNDS.labelSmoothing,
    help: "share of each label that is spread over all classes while training",
  }),
  z_loss: number({
    fallback: TRAINER_DEFAULTS.zLoss,
    ...TRAINER_BOUNDS.zLoss,
    help: "factor of the squared log of softmax's normaliser in the training loss, such as 1e-4",
  }),
  neftune_noise_alpha: number({
    fallback: TRAINER_DEFAULTS.neftuneNoiseAlpha,
    ...TRAINER_BOUNDS.neftuneNoiseAlpha,
    help: "NEFTune: noise on the embeddings of words while training, such as 5; 0: none",
  }),
  max_grad_norm: number({
    fallback: TRAINER_DEFAULTS.maxGradNorm,
    ...TRAINER_BOUNDS.maxGradNorm,
    unset: 0,
    help: "gradients are clipped to this norm; 0: never",
  }),
  ...PREFERENCE_OPTIONS,
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
  check_data: flag({
    fallback: true,
    help: "stop where the rows would teach nothing, or no end; what inspect calls errors",
  }),
  gradient_checkpointing: flag({
    fallback: TRAINER_DEFAULTS.gradientCheckpointing,
    help: "recompute activations in the backward pass: less memory, a third more time",
    aliases: ["grad_checkpoint"],
  }),
  activation_bits: readBy<8 | 32>({
    placeholder: "8|32",
    fallback: TRAINER_DEFAULTS.activationBits,
    wanted: "8 or 32",
    read: (value) => (Number(value) === 8 || Number(value) === 32 ? (Number(value) as 8 | 32) : undefined),
    help: "keep activations for the backward pass in so many bits: in 8, gradients are noisier",
  }),
  precision: choice({
    choices: PRECISIONS,
    fallback: TRAINER_DEFAULTS.precision,
    help: "mixed keeps activations and their gradients in f16, in half the memory; fp16: true is the same",
    aliases: ["mixed_precision"],
  }),
  memory: optionalBytes({
    help: "memory that the device has, such as 8GB or 7.5GiB: WebGPU tells nobody",
  }),
  dry_run: flag({
    fallback: false,
    help: "say what memory the run would take and whether it fits, as plan does, and end; no weights are loaded",
  }),
  ddp_timeout: number({
    fallback: 1800,
    min: 1,
    max: 1e6,
    help: "seconds after which a process that does not answer ends the run, where torchrun has started several",
  }),
  ddp_comm_hook: choice({
    choices: COMM_HOOKS,
    fallback: "no",
    help: "what gradients travel as between them: f32, or 16 bits with error feedback",
  }),
  sync_every: integer({
    fallback: TRAINER_DEFAULTS.syncEvery,
    min: 1,
    help: "steps that each of them takes on its own before one together, for slow lines (DiLoCo); 1: all are of all",
  }),
  outer_learning_rate: number({
    fallback: TRAINER_DEFAULTS.outerLearningRate,
    ...TRAINER_BOUNDS.outerLearningRate,
    help: "learning rate of the steps together, where sync_every is above 1",
  }),
  outer_momentum: number({
    fallback: TRAINER_DEFAULTS.outerMomentum,
    ...TRAINER_BOUNDS.beta,
    help: "Nesterov momentum of these",
  }),
  seed: SEED,
  logging_steps: integer({
    fallback: 10,
    min: 1,
    help: "steps between two reports",
    aliases: ["steps_per_report"],
  }),
  report_to: choices({
    choices: REPORTS,
    fallback: ["jsonl", "html"],
    help: "where the run is reported in output_dir, beside the screen",
  }),
  eval_steps: integer({
    fallback: 200,
    min: 0,
    help: "steps between two evaluations; 0: at start and end only",
    aliases: ["steps_per_eval"],
  }),
  per_device_eval_batch_size: integer({
    fallback: undefined,
    min: 1,
    help: "rows in a batch of an evaluation; by default as many as in a micro-batch",
  }),
  val_batches: integer({
    fallback: undefined,
    min: 1,
    unset: -1,
    help: "batches that the loss of an evaluation is measured on, of the first rows to judge by; by default all",
  }),
  save_steps: integer({
    fallback: 500,
    min: 0,
    help: "steps between two saved checkpoint-N folders; 0: none",
    aliases: ["save_every"],
  }),
  save_total_limit: integer({
    fallback: undefined,
    min: 1,
    help: "checkpoints that are kept: older ones go, but for the one with the lowest loss on the evaluation data",
  }),
  recover: flag({
    fallback: true,
    help: "where the device is lost, or has no memory for a step, ask for another and go on there, to the same bytes; three losses without a step between end the run",
  }),
  auto_batch: flag({
    fallback: false,
    help: "where there is twice no memory for the same step, compute micro-batches in halves: the same mathematics in less memory",
    aliases: ["auto_find_batch_size"],
  }),
  metric_for_best_model: text({
    placeholder: "metric",
    fallback: "loss",
    help: "what evaluations are compared by: loss, perplexity, accuracy, f1, entity_f1, exact_match, as the task measures them",
  }),
  greater_is_better: optionalFlag({
    help: "whether more of that is better; by default it is for all but losses and perplexity",
  }),
  early_stopping_patience: integer({
    fallback: undefined,
    min: 1,
    help: "evaluations in a row that are no better, of which the last ends the run",
  }),
  early_stopping_threshold: number({
    fallback: 0,
    min: 0,
    max: FACTOR.max,
    help: "by how much an evaluation has to be better for that",
  }),
  load_best_model_at_end: flag({
    fallback: false,
    help: "save a checkpoint behind each evaluation that is the best so far, and end with its adapter",
    aliases: ["load_best_at_end"],
  }),
  exact_match: flag({
    fallback: false,
    help: "at each evaluation, have the model write the completions to judge by, and count those that are right to the letter",
  }),
  eval_samples: integer({
    fallback: 0,
    min: 0,
    help: "rows to judge by of which, at each evaluation, is shown what the model writes",
  }),
  sample_prompts: texts({
    placeholder: "text",
    help: "prompts of which the same is shown; questions of a user where the model learns chats",
  }),
  sample_max_new_tokens: integer({ fallback: 64, min: 1, help: "tokens of such a sample at most" }),
};
