import { describe, expect, test } from "vitest";
import { parseConfig } from "../../src/cli/config.ts";
import { configText } from "../../src/cli/config-text.ts";
import { tableWith, withMethod } from "../../src/cli/method-table.ts";
import { trainerOptions } from "../../src/cli/run-steps.ts";
import { type GivenValue, keyOf, settle } from "../../src/cli/settings.ts";
import { TRAIN_OPTIONS as PLAIN } from "../../src/cli/tables/train.ts";
import { checkTrainSettings } from "../../src/cli/train-settings.ts";
import { learningRateAt } from "../../src/train/schedule.ts";

/** The options of all methods, as the command line reads them first. */
const ALL = ["vera", "lora"].reduce((table, method) => tableWith(table, method), PLAIN);

/** What a configuration and flags come to. */
function settled(source: string, flags: Readonly<Record<string, unknown>> = {}) {
  const given = Object.entries(flags).map(([name, value]): GivenValue => {
    return { key: keyOf(ALL, name) ?? "?", name: `--${name}`, value };
  });
  const { table, sources } = withMethod(PLAIN, [parseConfig(source, "c.yaml", ALL), given]);
  const result = settle("train", table, sources);
  checkTrainSettings(result);
  return result;
}

// Names and values as mlx-lm's example for LoRA has them.
const MLX = `
model: mlx_model
train: true
fine_tune_type: lora
optimizer: adamw
data: /path/to/training/data
seed: 0
num_layers: 16
batch_size: 4
iters: 1000
val_batches: 25
learning_rate: 1e-5
steps_per_report: 10
steps_per_eval: 200
resume_adapter_file: null
adapter_path: adapters
save_every: 100
test: false
test_batches: 100
max_seq_length: 2048
grad_checkpoint: false
lora_parameters: { keys: [self_attn.q_proj, self_attn.v_proj], rank: 8, scale: 20.0, dropout: 0.0 }
`;

// Names and values as TRL's guides for SFT with an adapter have them.
const TRL = `
model_name_or_path: Qwen/Qwen2.5-0.5B
datasets: [{ path: rows.jsonl }]
use_peft: true
lora_r: 32
lora_alpha: 16
lora_dropout: 0.05
lora_target_modules: [q_proj, v_proj]
lora_task_type: CAUSAL_LM
load_in_4bit: true
bnb_4bit_quant_type: nf4
use_bnb_nested_quant: true
learning_rate: 2.0e-4
lr_scheduler_type: cosine
warmup_ratio: 0.1
per_device_train_batch_size: 2
gradient_accumulation_steps: 8
gradient_checkpointing: true
gradient_checkpointing_kwargs: { use_reentrant: false }
num_train_epochs: 1
max_length: 1024
packing: true
eval_strategy: steps
eval_steps: 100
logging_steps: 25
save_strategy: "no"
report_to: none
push_to_hub: false
optim: adamw_torch
seed: 42
output_dir: out
`;

describe("other tools' configurations", () => {
  test("mlx-lm's example is taken as it stands", () => {
    const { settings } = settled(MLX);
    expect(settings).toMatchObject({ num_layers: 16, val_batches: 25, data: ["/path/to/training/data"] });
    expect(settings).toMatchObject({
      model: "mlx_model",
      max_steps: 1000,
      learning_rate: 1e-5,
      save_steps: 100,
    });
    expect(settings).toMatchObject({
      lora_r: 8,
      lora_alpha: 160,
      target_modules: ["self_attn.q_proj", "self_attn.v_proj"],
    });
  });

  test("mlx-lm's schedule: the part of its decay that the run sees", () => {
    const example =
      "lr_schedule: { name: cosine_decay, warmup: 100, warmup_init: 1e-7, arguments: [1e-5, 1000, 1e-7] }\n";
    const { settings } = settled(MLX + example);
    expect(settings).toMatchObject({
      ...{ learning_rate: 1e-5, lr_scheduler_type: "cosine_with_min_lr", warmup_steps: 100 },
      lr_scheduler_kwargs: { min_lr: 1e-7, num_cycles: 0.45 },
    });
    const rateAt = (step: number, { settings }: ReturnType<typeof settled>) => {
      const { learningRate = 0, ...rest } = trainerOptions(settings);
      return learningRateAt(step, { ...rest, learningRate, totalSteps: settings.max_steps ?? 0 });
    };
    // mlx's cosine_decay(1e-5, 1000, 1e-7) and linear_schedule(1e-5, 1e-6, 2000)
    const cosine = (step: number) => 1e-7 + 0.5 * (1 + Math.cos((Math.PI * step) / 1000)) * (1e-5 - 1e-7);
    for (const step of [0, 1, 500, 899])
      expect(rateAt(100 + step, settled(MLX + example))).toBeCloseTo(cosine(step), 12);
    const linear = settled(`${MLX}lr_schedule: { name: linear_schedule, arguments: [1e-5, 1e-6, 2000] }\n`);
    for (const step of [0, 1, 500, 999])
      expect(rateAt(step, linear)).toBeCloseTo(1e-5 - (9e-6 * step) / 2000, 12);
  });

  test.each([
    [
      "name: step_decay, arguments: [1e-1, 0.9, 10]",
      /has the name "step_decay": write name: cosine_decay or/,
    ],
    ["name: cosine_decay, arguments: [1e-5, 500]", /ends after 500 steps, and 1000 follow the warm-up/],
    ["name: cosine_decay, arguments: [1e-5]", /has the arguments \[1e-5\]|has the arguments/],
    ["name: linear_schedule, arguments: [1e-6, 1e-5, 1000]", /rises from 0\.000001 to 0\.00001/],
    [
      "name: cosine_decay, arguments: [1e-5, 1000], warmup: 10, warmup_init: 5e-6",
      /has warmup_init 0\.000005/,
    ],
    ["name: cosine_decay, arguments: [1e-5, 1000], warmup: 1000", /has a warm-up of 1000 steps/],
    ["nam: cosine_decay", /has "nam", which is unknown/],
  ])("mlx-lm's schedule is refused where there is no like: %s", (schedule, message) => {
    expect(() => settled(`${MLX}lr_schedule: { ${schedule} }\n`)).toThrow(message);
  });

  test("mlx-lm's optimiser, and counts that are of micro-batches", () => {
    const config =
      "optimizer_config: { adamw: { betas: [0.9, 0.98], eps: 1e-6, weight_decay: 0.05, bias_correction: true }, sgd: {} }\n";
    expect(settled(MLX + config).settings).toMatchObject({
      ...{ optim: "adamw", adam_beta1: 0.9, adam_beta2: 0.98, adam_epsilon: 1e-6, weight_decay: 0.05 },
    });
    expect(() => settled(MLX + config.replace("true", "false"))).toThrow(
      /optimizer_config\.adamw\.bias_correction is false: it takes betas/,
    );
    expect(settled(`${MLX}grad_accumulation_steps: 4\n`).settings).toMatchObject({
      ...{ gradient_accumulation_steps: 4, max_steps: 250, logging_steps: 3, eval_steps: 50, save_steps: 25 },
    });
    expect(() => settled(`${MLX}grad_accumulation_steps: 1001\n`)).toThrow(
      /iters is 1000: these are micro-batches/,
    );
    // by the name that counts updates, iters does, too
    expect(settled(`${MLX}gradient_accumulation_steps: 4\n`).settings.max_steps).toBe(1000);
  });

  test("layers by their number: not beside their numbers, nor where they are not chosen", () => {
    expect(settled("model: m\ndata: d\nnum_layers: -1\nlayers_to_transform: [1]\n").settings.num_layers).toBe(
      -1,
    );
    expect(() => settled("model: m\ndata: d\nnum_layers: 2\nlayers_to_transform: [1]\n")).toThrow(
      /give one of them/,
    );
    expect(() =>
      settled("model: m\ndata: d\nnum_layers: 2\nmethod: prompt_tuning\n", { num_virtual_tokens: 2 }),
    ).toThrow(/adapts no layers/);
    expect(() => settled("model: m\ndata: d\nlora_layers: 2\nresume_adapter_file: a\n")).toThrow(
      /has its layers/,
    );
  });

  test("TRL's first example: its data set of the hub is refused with what fetches it, and the rest is read", () => {
    const example =
      "model_name_or_path: Qwen/Qwen2.5-0.5B\ndataset_name: stanfordnlp/imdb\nreport_to: none\nlearning_rate: 0.0001\nlr_scheduler_type: cosine\nper_device_eval_batch_size: 2\n";
    expect(() => settled(example)).toThrow(
      /1 problem:\n.*dataset_name is "stanfordnlp\/imdb".*hf download NAME --repo-type dataset/,
    );
    const { settings } = settled(example.replace(/dataset_name.*/, "data: rows/train.parquet"));
    expect(settings).toMatchObject({
      data: ["rows/train.parquet"],
      learning_rate: 1e-4,
      per_device_eval_batch_size: 2,
    });
  });

  test("TRL's names", () => {
    const { settings, given } = settled(TRL);
    expect(settings).toMatchObject({
      data: ["rows.jsonl"],
      task: "causal-lm",
      lora_r: 32,
      quantization: "nf4",
    });
    expect(settings).toMatchObject({
      double_quantization: true,
      save_steps: 0,
      report_to: [],
      optim: "adamw",
    });
    expect(given.has("quantization")).toBe(true);
    expect(settled(TRL.replace(/^bnb_4bit_quant_type.*\n/m, "")).settings).toMatchObject({
      quantization: "nf4",
    });
  });

  test("all that cannot be honoured is told at once, with what to do instead", () => {
    const source =
      "model: m\ndata: d\nbf16: true\ndataset_name: imdb\nhub_model_id: me/mine\nlerning_rate: 1\nattn_implementation: sdpa\nreport_to: wandb\n";
    const wanted =
      /5 problems:[\s\S]*bf16 is true: adapters are trained in 32 bits[\s\S]*dataset_name is "imdb"[\s\S]*hub_model_id[\s\S]*attn_implementation is "sdpa"[\s\S]*lerning_rate is unknown; did you mean learning_rate\?/;
    expect(() => settled(source)).toThrow(wanted);
    expect(() => settled("model: m\ndata: d\nreport_to: wandb\n")).toThrow(
      /report_to is "wandb", wanted any of jsonl, html, tensorboard/,
    );
  });

  test("PEFT's fields", () => {
    const source =
      "model: m\ndata: d\npeft_type: LORA\ntask_type: SEQ_CLS\nr: 4\nlora_alpha: 8\nuse_rslora: true\nbias: none\nfan_in_fan_out: false\ninference_mode: false\nrank_pattern: {}\nmodules_to_save: null\n";
    expect(settled(source.replace("rank_pattern: {}\n", "")).settings).toMatchObject({
      ...{ task: "sequence-classification", method: "lora", lora_r: 4, lora_alpha: 8, use_rslora: true },
    });
    expect(() => settled(source.replace("SEQ_CLS", "SEQ_2_SEQ_LM"))).toThrow(
      /task_type is "SEQ_2_SEQ_LM": give task/,
    );
  });
});

describe("the configuration that is saved with a run", () => {
  const RICH = {
    ...{ model: "m", data: ["a.jsonl", "b: c.jsonl"], data_weights: [3, 1], lora_r: 4, learning_rate: 3e-4 },
    ...{
      target_modules: ["q_proj", "v_proj"],
      rank_pattern: { q_proj: 2 },
      lr_scheduler_type: "cosine_with_min_lr",
    },
    ...{
      lr_scheduler_kwargs: { min_lr_rate: 0.1 },
      columns: { text: "body" },
      report_to: "none",
      packing: true,
    },
    ...{
      packing_strategy: "bfd",
      max_steps: -1,
      memory: "8GiB",
      sample_prompts: ["# Tom: put\n"],
      token: "secret",
    },
  };

  test.each([
    ["many options", RICH],
    ["few", { model: "m", data: "d" }],
    ["another method", { model: "m", data: "d", method: "vera" }],
    ["a resumed adapter", { model: "m", data: "d", resume_adapter_file: "a" }],
    ["layers by an expression", { model: "m", data: "d", target_modules: ".*\\.(q|v)_proj" }],
  ])("gives the same settings again: %s", (_, flags) => {
    const first = settled("", flags);
    const text = configText(first.settings, first.given);
    const second = settled(text);
    expect({ ...second.settings, token: undefined }).toEqual({ ...first.settings, token: undefined });
    expect(text).not.toContain("secret");
    expect(configText(second.settings, second.given)).toBe(text);
  });

  test("what is given wins over its defaults, which count as not given", () => {
    const first = settled("", { model: "m", data: "d" });
    const text = configText(first.settings, first.given);
    expect(settled(text).given.has("packing_strategy")).toBe(false); // which nothing that is not packed may have
    expect(settled(text, { lora_r: 3, batch_size: 9 }).settings).toMatchObject({
      lora_r: 3,
      per_device_train_batch_size: 9,
    });
    expect(settled(text, { method: "vera" }).settings).toMatchObject({ method: "vera" });
    expect(
      settled("lora_r: 5\ndefaults: { lora_r: 7, seed: 9 }\n", { model: "m", data: "d" }).settings,
    ).toMatchObject({
      lora_r: 5,
      seed: 9,
    });
    expect(() => settled("defaults: { sed: 1 }\n")).toThrow(/sed is unknown; did you mean/);
    expect(() => settled("defaults: 3\n")).toThrow(/defaults has no keys/);
  });
});
