import { describe, expect, test } from "vitest";
import { EVAL_OPTIONS } from "../src/cli/tables/eval.ts";
import { GENERATE_OPTIONS } from "../src/cli/tables/generate.ts";
import { TRAIN_OPTIONS } from "../src/cli/tables/train.ts";
import { TOKENIZE_DEFAULTS } from "../src/data/tokenize/tokenize-options.ts";
import { lora } from "../src/index.node.ts";
import { EVALUATION_DEFAULTS } from "../src/train/evaluate.ts";
import { GENERATE_DEFAULTS } from "../src/train/generate.ts";
import { DPO_DEFAULTS } from "../src/train/preferences/dpo.ts";
import { TRAINER_DEFAULTS } from "../src/train/trainer-options.ts";

describe("library and command line have the same defaults", () => {
  // What the flag stands for in the library; undefined: the library has nothing of the kind.
  const LIBRARY: Record<string, unknown> = {
    method: "lora", // what the page and README begin with
    num_train_epochs: TRAINER_DEFAULTS.epochs,
    per_device_train_batch_size: TRAINER_DEFAULTS.batchSize,
    gradient_accumulation_steps: TRAINER_DEFAULTS.gradientAccumulationSteps,
    learning_rate: TRAINER_DEFAULTS.learningRate,
    lr_scheduler_type: TRAINER_DEFAULTS.schedule,
    warmup_steps: TRAINER_DEFAULTS.warmupSteps,
    warmup_ratio: TRAINER_DEFAULTS.warmupRatio,
    lr_scheduler_kwargs: TRAINER_DEFAULTS.scheduleShape,
    optim: TRAINER_DEFAULTS.optimizer,
    loraplus_lr_ratio: TRAINER_DEFAULTS.loraplusLrRatio,
    rate_pattern: TRAINER_DEFAULTS.ratePattern,
    label_smoothing_factor: TRAINER_DEFAULTS.labelSmoothing,
    z_loss: TRAINER_DEFAULTS.zLoss,
    neftune_noise_alpha: TRAINER_DEFAULTS.neftuneNoiseAlpha,
    weight_decay: TRAINER_DEFAULTS.weightDecay,
    max_grad_norm: TRAINER_DEFAULTS.maxGradNorm,
    gradient_checkpointing: TRAINER_DEFAULTS.gradientCheckpointing,
    packing: TRAINER_DEFAULTS.packing,
    packing_strategy: "bfd", // what true stands for
    stopping_strategy: "first_exhausted", // of a mixture with weights that names none
    group_by_length: TRAINER_DEFAULTS.groupByLength,
    seed: TRAINER_DEFAULTS.seed,
    truncation: "truncate",
    completion_only_loss: TOKENIZE_DEFAULTS.maskPrompt,
    assistant_only_loss: TOKENIZE_DEFAULTS.assistantOnlyLoss,
    mask_history: TOKENIZE_DEFAULTS.maskHistory,
    max_tokens: GENERATE_DEFAULTS.maxNewTokens,
    temperature: GENERATE_DEFAULTS.temperature,
    top_k: GENERATE_DEFAULTS.topK,
    top_p: GENERATE_DEFAULTS.topP,
    min_p: GENERATE_DEFAULTS.minP,
    repetition_penalty: GENERATE_DEFAULTS.repetitionPenalty,
    batch_size: EVALUATION_DEFAULTS.batchSize,
    task: "causal-lm",
    precompute_ref_log_probs: false, // withReferenceScores is called, or not
    disable_dropout: DPO_DEFAULTS.disableDropout,
    padding_free: false, // as where paddingFree is not given
    double_quantization: false, // as quantised loading has it
    offload: false, // as loaders have it
    activation_bits: TRAINER_DEFAULTS.activationBits,
    precision: TRAINER_DEFAULTS.precision,
    sync_every: TRAINER_DEFAULTS.syncEvery,
    outer_learning_rate: TRAINER_DEFAULTS.outerLearningRate,
    outer_momentum: TRAINER_DEFAULTS.outerMomentum,
    verify: false, // as loaders have it
  };
  /** Flags of the command line alone: files, reports, what is printed. */
  const OWN = [
    ...["output_dir", "logging_steps", "eval_steps", "save_steps", "json", "resume", "force"],
    ...["columns", "header", "on_bad_row", "valid_split", "check_data", "recover", "auto_batch"],
    ...["metric_for_best_model", "early_stopping_threshold", "load_best_model_at_end", "exact_match"],
    ...["eval_samples", "sample_max_new_tokens", "dry_run"],
    ...["report_to", "loss_map_rows", "ddp_timeout", "ddp_comm_hook"],
  ];

  test.each(Object.entries({ ...TRAIN_OPTIONS, ...GENERATE_OPTIONS, ...EVAL_OPTIONS }))(
    "%s",
    (name, { fallback }) => {
      const isUnset =
        fallback === undefined || fallback === "" || (Array.isArray(fallback) && fallback.length === 0);
      if (isUnset || OWN.includes(name)) return;
      expect(fallback).toEqual(LIBRARY[name]);
    },
  );

  test("these are the values", () => {
    expect(lora().options).toMatchObject({ r: 16, alpha: 32, targetModules: "all-linear" });
    expect(LIBRARY).toMatchObject({ learning_rate: 2e-4, weight_decay: 0, per_device_train_batch_size: 4 });
    expect(LIBRARY).toMatchObject({ max_tokens: 256, temperature: 0, batch_size: 4 });
  });
});
