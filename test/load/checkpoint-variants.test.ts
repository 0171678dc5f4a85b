import { describe, expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import { fromArray, scoped } from "../../src/gpu/tensor.ts";
import { type FileSource, memoryFiles } from "../../src/io/files/files.ts";
import { openCheckpoint } from "../../src/io/formats/checkpoint.ts";
import { writeSafetensors } from "../../src/io/formats/safetensors-writer.ts";
import { mergedFiles } from "../../src/load/merge.ts";
import { type LoadedModel, openTaskModel } from "../../src/load/model.ts";
import {
  copied,
  type Edit,
  edited,
  filesOf,
  type MadeCheckpoint,
  prefixed,
  stripped,
} from "../support/checkpoint-edits.ts";
import { relativeNormError } from "../support/compare.ts";
import { contextOf } from "../support/context.ts";
import { testDevice } from "../support/device.ts";
import { fixturePath, readJsonFile } from "../support/fixtures.ts";
import { wholeFiles } from "../support/merged-cases.ts";

/** checkpoints.json; see make_checkpoints.py. */
interface Case {
  fixture: string;
  edit: string;
  missing: number;
  unexpected?: string[];
  scores?: number[];
}
const { ids, cases } = readJsonFile<{ ids: number[]; cases: Case[] }>(fixturePath("."), "checkpoints.json");

/** `base_model_prefix` of the fixtures' classes. */
const BODIES: Record<string, string> = {
  "tasks/gpt2": "transformer.",
  "tasks/gpt-neox": "gpt_neox.",
  "tasks/bert-masked": "bert.",
  "tasks/bert-sequence": "bert.",
  "tasks/bert-embedding": "bert.",
  "tasks/roberta-masked": "roberta.",
  "tasks/distilbert-masked": "distilbert.",
  "tasks/vit": "vit.",
};

/** The embedding and the output layer that shares it. */
const TIES: Record<string, [source: string, copy: string]> = {
  "tasks/gpt2": ["transformer.wte.weight", "lm_head.weight"],
  "tasks/opt": ["model.decoder.embed_tokens.weight", "lm_head.weight"],
  "tasks/bert-masked": ["bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight"],
  "tasks/roberta-masked": ["roberta.embeddings.word_embeddings.weight", "lm_head.decoder.weight"],
  "tasks/distilbert-masked": ["distilbert.embeddings.word_embeddings.weight", "vocab_projector.weight"],
};
const BIASES: Record<string, [source: string, copy: string]> = {
  "tasks/bert-masked": ["cls.predictions.bias", "cls.predictions.decoder.bias"],
  "tasks/roberta-masked": ["lm_head.bias", "lm_head.decoder.bias"],
};
const bodyOf = (fixture: string) => BODIES[fixture] ?? "model.";
const tieOf = (fixture: string) => TIES[fixture] ?? ["model.embed_tokens.weight", "lm_head.weight"];
const DIFFERENT = { factors: [0.8, 1.2] };

const withConfig =
  (fields: Record<string, unknown>): Edit =>
  ({ tensors, config }) => ({ tensors, config: { ...config, ...fields } });

const added =
  (shapes: Record<string, number[]>): Edit =>
  ({ tensors, config }) => ({
    config,
    tensors: [
      ...tensors,
      ...Object.entries(shapes).map(([name, shape]) => {
        const data = new Uint8Array(4 * shape.reduce((a, b) => a * b, 1));
        return { name, dtype: "F32" as const, shape, data };
      }),
    ],
  });

const EDITS: Record<string, (fixture: string) => Edit> = {
  "no prefix": (fixture) => stripped(bodyOf(fixture)),
  "prefix on all": (fixture) => prefixed(bodyOf(fixture)),
  "prefix twice": (fixture) => prefixed(bodyOf(fixture).repeat(2)),
  compiled: () => prefixed("_orig_mod."),
  distributed: () => prefixed("module."),
  "language model": () => prefixed("language_model."),
  "head equal": (fixture) => copied(...tieOf(fixture)),
  "head differs": (fixture) => copied(...tieOf(fixture), DIFFERENT),
  "head only": (fixture) => copied(...tieOf(fixture), { drop: true }),
  "untied without a head": (fixture) => (checkpoint) => {
    const [, copy] = tieOf(fixture);
    const { tensors, config } = withConfig({ tie_word_embeddings: false })(checkpoint);
    return { tensors: tensors.filter(({ name }) => name !== copy), config };
  },
  "bias only by the other name": (fixture) =>
    copied(...(BIASES[fixture] as [string, string]), { drop: true }),
  "biases differ": (fixture) => copied(...(BIASES[fixture] as [string, string]), DIFFERENT),
  "alien tensors": () => added({ foo: [2], "model.layers.0.self_attn.q_proj.extra": [3] }),
};

async function open(files: FileSource): Promise<{ model: LoadedModel; warnings: string[] }> {
  const warnings: string[] = [];
  const onWarning = (warning: string) => warnings.push(warning);
  return { model: await openTaskModel(files, await testDevice(), { onWarning }), warnings };
}

/** The first scores of the last row, as make_checkpoints.py takes them. */
async function scoresOf(model: LoadedModel): Promise<number[]> {
  const scores = scoped(model.device, () => {
    const input = fromArray(model.device, Uint32Array.from(ids), [1, ids.length]);
    const context = contextOf(input);
    if (model.task === "image-classification") throw new Error("reads no tokens");
    if (model.task === "sentence-embedding") return model.embed(input, context);
    if (!("hidden" in model)) return model.logits(input, context);
    return model.logits(model.hidden(input, context));
  });
  const { columns } = scores;
  return [...(await scores.read()).slice(-columns)].slice(0, 6);
}

const loads = cases.filter(({ missing }) => missing === 0);

describe("a checkpoint that transformers opens", () => {
  test.each(loads)(
    "$fixture, $edit: gives the same scores",
    async ({ fixture, edit, scores, unexpected }) => {
      const files = await edited(fixture, (EDITS[edit] as (typeof EDITS)[string])(fixture));
      const { model, warnings } = await open(files);
      if (scores) expect(relativeNormError(await scoresOf(model), scores)).toBeLessThan(1e-4);
      const wanted = unexpected?.length ? [/2 tensors are not used.*: foo, model\.layers\.0\.self_attn/] : [];
      if (edit === "head differs") wanted.push(/tie_word_embeddings: true, and the stored .* differs from/);
      if (edit === "biases differ") wanted.push(/decoder\.bias and .*bias differ; the former is used/);
      expect(warnings).toEqual(wanted.map((pattern) => expect.stringMatching(pattern)));
      model.release();
    },
  );
});

describe("a checkpoint for which transformers would make weights at random", () => {
  // These two can be nothing else, and are opened here.
  const opened = ["tasks/bert-embedding, prefix twice", "tasks/gpt-neox, prefix on all"];
  const refused = cases.filter(
    ({ missing, fixture, edit }) => missing > 0 && !opened.includes(`${fixture}, ${edit}`),
  );
  const HELP: Record<string, RegExp> = {
    compiled: /names hold "_orig_mod" .* save model\._orig_mod/,
    distributed: /names hold "module" .* save model\.module/,
    "language model": /names hold "language_model" .* multimodal/,
    "untied without a head": /"tie_word_embeddings": true into config\.json/,
  };

  test.each(refused)("$fixture, $edit: is refused", async ({ fixture, edit }) => {
    const files = await edited(fixture, (EDITS[edit] as (typeof EDITS)[string])(fixture));
    const device = await testDevice();
    const { used } = device.memory.stats;
    const message = await open(files).catch((error: Error) => error.message);
    expect(message).toMatch(/is missing/);
    expect(message).toMatch(HELP[edit] ?? /config\.json and the weights do not belong together/);
    expect(device.memory.stats.used).toBe(used);
  });

  test("many of a kind are one line", async () => {
    const files = await edited("families/qwen3", prefixed("other."));
    const message = String(await open(files).catch((error: Error) => error.message));
    expect(message).toMatch(
      /- model\.layers\.\*\.mlp\.up_proj\.weight \[\d+, \d+\] is missing \(2 of these\)/,
    );
    expect(message.split("\n").length).toBeLessThan(40);
  });

  test("two tensors for one place are refused", async () => {
    const both: Edit = (checkpoint) => {
      const { tensors } = stripped("model.")(checkpoint);
      return { ...checkpoint, tensors: [...checkpoint.tensors, ...tensors.slice(0, 1)] };
    };
    await expect(open(await edited("families/qwen3", both))).rejects.toThrow(/both stand for model\./);
  });
});

describe("shards", () => {
  /** A fixture in two files, and what else the index says. */
  async function sharded(
    extra: Record<string, string>,
    leaveOut: readonly string[] = [],
  ): Promise<FileSource> {
    let made: MadeCheckpoint | undefined;
    await edited("families/qwen3", (checkpoint) => {
      made = checkpoint;
      return checkpoint;
    });
    const { tensors, config } = made as MadeCheckpoint;
    const half = Math.ceil(tensors.length / 2);
    const parts = new Map([
      ["a.safetensors", tensors.slice(0, half)],
      ["b.safetensors", tensors.slice(half)],
    ]);
    const weight_map = Object.fromEntries(
      [...parts].flatMap(([file, part]) => part.map(({ name }) => [name, file])),
    );
    const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
    return memoryFiles(
      "sharded",
      new Map([
        ["config.json", json(config)],
        ["model.safetensors.index.json", json({ weight_map: { ...weight_map, ...extra } })],
        ...[...parts]
          .filter(([file]) => !leaveOut.includes(file))
          .map(([file, part]) => [file, writeSafetensors(part, { format: "pt" })] as const),
      ]),
    );
  }

  test("what the index names and nobody needs is told, whether or not its file is there", async () => {
    const { model, warnings } = await open(
      await sharded({ "lm_head.weight": "b.safetensors", "vision.patch.weight": "c.safetensors" }),
    );
    expect(warnings).toEqual([
      "sharded: the index names tensors that no file holds; the model does without them: lm_head.weight, vision.patch.weight",
    ]);
    const usual = loads.find(({ fixture }) => fixture === "families/qwen3")?.scores as number[];
    expect(relativeNormError(await scoresOf(model), usual)).toBeLessThan(1e-4);
    model.release();
  });

  test("what the model needs and no file holds is an error that names the file", async () => {
    await expect(open(await sharded({}, ["b.safetensors"]))).rejects.toThrow(
      /model\.norm\.weight should be in b\.safetensors, which is not there[\s\S]*copy is not complete/,
    );
  });
});

test("an output layer of its own under a config that says tied stays one when an adapter is merged", async () => {
  const fixture = "families/qwen3";
  const files = await edited(fixture, copied(...tieOf(fixture), DIFFERENT));
  const { model } = await open(files);
  const before = await scoresOf(model);
  const adapter = attach(model, lora({ r: 2 }));
  const merged = memoryFiles("merged", await wholeFiles(await mergedFiles(model, adapter, files)));
  model.release();
  const { config, tensors } = await openCheckpoint(merged);
  expect(config.tie_word_embeddings).toBe(false);
  expect(tensors.has("lm_head.weight")).toBe(true);
  const again = await open(merged);
  expect(again.warnings).toEqual([]);
  expect(relativeNormError(await scoresOf(again.model), before)).toBeLessThan(1e-5);
  again.model.release();
});

test.each(["head only", "head equal", "no prefix"])(
  "%s: merged, it has the names of its class",
  async (edit) => {
    const fixture = "families/qwen3";
    const files = await edited(fixture, (EDITS[edit] as (typeof EDITS)[string])(fixture));
    const { model } = await open(files);
    const before = await scoresOf(model);
    const merged = memoryFiles(
      "merged",
      await wholeFiles(await mergedFiles(model, attach(model, lora({ r: 2 })), files)),
    );
    model.release();
    const usual = await openCheckpoint(await edited(fixture, (checkpoint) => checkpoint));
    expect([...(await openCheckpoint(merged)).tensors.keys()].sort()).toEqual(
      [...usual.tensors.keys()].sort(),
    );
    const again = await open(merged);
    expect(relativeNormError(await scoresOf(again.model), before)).toBeLessThan(1e-5);
    again.model.release();
  },
);

describe("quantised weights", () => {
  const quantised = (fields: Record<string, unknown>, label: string, names: readonly string[] = []) =>
    filesOf(
      {
        config: { architectures: ["LlamaForCausalLM"], ...fields },
        tensors: names.map((name) => ({ name, dtype: "U8", shape: [2, 2], data: new Uint8Array(4) })),
      },
      label,
    );

  test.each([
    [
      { quantization_config: { quant_method: "hqq" } },
      "unsloth/Some-1B-bnb-4bit",
      [],
      /\(hqq\)[\s\S]*read are awq, bitsandbytes[\s\S]*probably unsloth\/Some-1B\)/,
    ],
    [
      { quantization_config: { quant_method: "bitsandbits" } },
      "here",
      [],
      /\(bitsandbits\)[\s\S]*nearest that is read: bitsandbytes[\s\S]*repository of this model:/,
    ],
    [
      { quantization_config: { quant_method: "quanto" }, _name_or_path: "org/Base" },
      "/tmp/x",
      [],
      /\(quanto\)[\s\S]*probably org\/Base\)/,
    ],
    [
      { quantization_config: { quant_method: "aqlm" } },
      "TheBloke/Base-7B-AWQ",
      [],
      /\(aqlm\)[\s\S]*probably Base-7B\)/,
    ],
    [
      { quantization: { quant_method: "vptq" } },
      "mlx-community/Base-4bit",
      [],
      /\(vptq\)[\s\S]*probably Base\)/,
    ],
    [{}, "here", ["model.layers.0.mlp.up_proj.qweight"], /\(GPTQ or AWQ\): there is a tensor model\.layers/],
    [{}, "here", ["a.weight", "a.weight.absmax"], /\(bitsandbytes\): there is a tensor a\.weight\.absmax/],
    [
      {},
      "here",
      ["model.layers.0.mlp.up_proj.weight"],
      /\(to U8\): model\.layers\.0\.mlp\.up_proj\.weight is U8/,
    ],
  ])("%j of %s, %j: are named, with what to take instead", async (fields, label, names, message) => {
    const said = String(await open(quantised(fields, label, names)).catch((error: Error) => error.message));
    expect(said).toMatch(message);
    expect(said).not.toContain("deleted");
  });
});
