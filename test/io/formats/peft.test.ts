import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { peftLoraConfig } from "../../../src/adapters/lora/lora-codec.ts";
import type { PeftLoraConfig } from "../../../src/adapters/lora/lora-fields.ts";
import { peftPatterns } from "../../../src/adapters/sites/patterns.ts";
import { memoryFiles } from "../../../src/io/files/files.ts";
import { writeSafetensors } from "../../../src/io/formats/safetensors-writer.ts";
import { peftFiles, readPeftAdapter, type WritableLora } from "../../../src/load/lora-files.ts";
import { folderFiles } from "../../../src/platform/node-files.ts";
import { errorOf, filesOf, fixture, utf8 } from "../helpers.ts";
import {
  adapterFiles,
  CONFIG,
  entry,
  GOOD,
  messageOf,
  Q,
  tensor,
  V,
  WEIGHTS,
  weights,
} from "./peft-helpers.ts";

type Writable = WritableLora["tensors"] extends ReadonlyMap<string, infer Module> ? Module : never;

describe("readPeftAdapter", () => {
  test.each([
    ["llama-gqa", 14, 4, 8, 2],
    ["llama-tied", 4, 3, 5, 5 / Math.sqrt(3)],
  ])("%s: read and written again, the bytes are PEFT's", async (name, modules, r, alpha, scale) => {
    const folder = `${name}/adapter`;
    const bytes = new Map([CONFIG, WEIGHTS].map((file) => [file, fixture(`${folder}/${file}`)]));
    const adapter = await readPeftAdapter(memoryFiles(folder, bytes));
    expect(adapter.warnings).toEqual([]);
    expect(adapter.tensors.size).toBe(modules);
    expect(adapter.tensors.get(Q)).toMatchObject({ r, alpha, scale });
    const written = peftFiles(adapter);
    expect(written.get(CONFIG)).toBe(new TextDecoder().decode(bytes.get(CONFIG)));
    expect(Buffer.from(written.get(WEIGHTS) as Uint8Array).equals(bytes.get(WEIGHTS)!)).toBe(true);
  });

  test.each(["F32", "F16", "BF16"] as const)("decodes %s", async (dtype) => {
    const entries = Object.entries(GOOD).map(([name, shape]) => entry(name, tensor(...shape), dtype));
    const files = filesOf({ [CONFIG]: { peft_type: "LORA", r: 2 }, [WEIGHTS]: writeSafetensors(entries) });
    const module = (await readPeftAdapter(files)).tensors.get(Q)!;
    expect(module.lora_A).toEqual(tensor(2, 3));
    expect(module.lora_B).toEqual(tensor(4, 2));
  });

  test.each([
    ["base_model.model.", "lora_A.weight", "lora_B.weight"],
    ["base_model.model.", "lora_A.default.weight", "lora_B.default.weight"],
    ["base_model.model.base_model.model.", "lora_A.weight", "lora_B.weight"],
    ["_orig_mod.base_model.model.", "lora_A.weight", "lora_B.weight"],
    ["base_model.model._fsdp_wrapped_module.", "lora_A.weight", "lora_B.weight"],
  ])("accepts the names %s…%s", async (prefix, a, b) => {
    const { tensors, warnings } = await readPeftAdapter(
      adapterFiles({}, { [`${prefix}${Q}.${a}`]: [2, 3], [`${prefix}${Q}.${b}`]: [4, 2] }),
    );
    expect([...tensors.keys()]).toEqual([Q]);
    expect(warnings).toEqual([]);
  });

  test("accepts names without the prefix, and warns", async () => {
    const shapes = { [`${Q}.lora_A.weight`]: [2, 3], [`${Q}.lora_B.weight`]: [4, 2] };
    const { tensors, warnings } = await readPeftAdapter(adapterFiles({}, shapes));
    expect([...tensors.keys()]).toEqual([Q]);
    expect(warnings[0]).toContain("lack the prefix base_model.model.");
  });

  // Which key matches: get_pattern_key of PEFT 0.21.0, run with these keys and this path.
  test.each([
    [{ q_proj: 4 }, 4],
    [{ proj: 4 }, 8],
    [{ "layers\\.0\\.self_attn\\.q_proj": 4 }, 4],
    [{ "^model": 4 }, 8],
    [{ "^model\\.layers\\.0\\.self_attn\\.q_proj": 4 }, 4],
    [{ ".*": 2, q_proj: 4 }, 2],
    [{ q_proj: 4, ".*": 2 }, 4],
    [{ "layers\\.(0|2)\\..*": 3 }, 3],
    [{ "k_proj|q_proj": 6 }, 6],
  ])("alpha_pattern %j gives alpha %d", async (alpha_pattern, alpha) => {
    const { tensors } = await readPeftAdapter(adapterFiles({ alpha_pattern, use_rslora: true }));
    expect(tensors.get(Q)).toMatchObject({ r: 2, alpha, scale: alpha / Math.sqrt(2) });
  });

  test("ranks come from the shapes; the order of rank_pattern that sorting lost does not matter", async () => {
    const { tensors, warnings } = await readPeftAdapter(
      adapterFiles({
        r: 8,
        rank_pattern: { ".*": 4, q_proj: 2 },
        alpha_pattern: { ".*": 1, q_proj: 3, zz: 9 },
      }),
    );
    expect(tensors.get(Q)).toMatchObject({ r: 2, alpha: 1, scale: 0.5 });
    expect(warnings).toEqual([
      `several keys of rank_pattern match and the first is wrong; the tensors decided: ${Q}`,
      'adapter_config.json: the key "zz" of alpha_pattern matches no module',
      `adapter_config.json: several keys of alpha_pattern match, of which the first counts, as in PEFT: ${Q}`,
    ]);
  });

  const p = "base_model.model";
  const badTensors: [string, Record<string, number[]>, string][] = [
    ["A without B", { [`${p}.${V}.lora_A.weight`]: [2, 3] }, `lora_A without lora_B: ${V}`],
    ["B without A", { [`${p}.${V}.lora_B.weight`]: [4, 2] }, `lora_B without lora_A: ${V}`],
    [
      "ranks that differ",
      { [`${p}.${V}.lora_A.weight`]: [2, 3], [`${p}.${V}.lora_B.weight`]: [4, 3] },
      `the rank of lora_A [r, in] is not that of lora_B [out, r]: ${V} (lora_A [2,3], lora_B [4,3])`,
    ],
    [
      "rank 0",
      { [`${p}.${V}.lora_A.weight`]: [0, 3], [`${p}.${V}.lora_B.weight`]: [4, 0] },
      `the rank is 0: ${V}`,
    ],
    [
      "a rank that is not the configured one",
      { [`${p}.${V}.lora_A.weight`]: [3, 3], [`${p}.${V}.lora_B.weight`]: [4, 3] },
      `the rank differs from r and rank_pattern: ${V} (3, configured 2)`,
    ],
    [
      "a convolution",
      { [`${p}.${V}.lora_A.weight`]: [2, 3, 3, 3], [`${p}.${V}.lora_B.weight`]: [4, 2, 1, 1] },
      "not two axes each",
    ],
    ["magnitudes", { [`${p}.${V}.lora_magnitude_vector`]: [4] }, "and use_dora is false"],
    ["an embedding", { [`${p}.e.lora_embedding_A`]: [2, 4] }, "lora_embedding_A without lora_embedding_B: e"],
    ["lora_bias", { [`${p}.${V}.lora_B.bias`]: [4] }, "lora_B.bias, and lora_bias is false"],
    ["a bias", { [`${p}.${V}.base_layer.bias`]: [4] }, "trained biases of the base model, and bias is"],
    ["a stored base layer", { [`${p}.e.base_layer.weight`]: [4, 4] }, "save_embedding_layers"],
    [
      "token rows",
      { [`${p}.e.token_adapter.trainable_tokens_delta`]: [1, 4] },
      "trained rows of tokens that trainable_token_indices does not name",
    ],
    ["fused experts", { [`${p}.experts.base_layer.lora_A.weight`]: [2, 4] }, "LoRA inside another one"],
    [
      "a trained head",
      { [`${p}.score.weight`]: [4, 4] },
      "of modules that modules_to_save does not name: base_model.model.score.weight [4,4]",
    ],
    ["kohya's names", { "lora_unet_q.lora_down.weight": [2, 4] }, "kohya's sd-scripts or LyCORIS"],
    ["LyCORIS' names", { "lycoris_unet_q.hada_w1_a": [2, 4] }, "kohya's sd-scripts or LyCORIS"],
    ["diffusers' names", { "unet.up.to_q.lora_A.weight": [2, 4] }, "tensors in diffusers' layout"],
    ["XLabs' names", { "double_blocks.0.processor.qkv_lora1.down.weight": [2, 4] }, "XLabs' layout"],
    ["MLX's names", { [`${V}.lora_a`]: [4, 2] }, "tensors of mlx-lm"],
    [
      "two adapters",
      { [`${p}.${V}.lora_A.other.weight`]: [2, 3], [`${p}.${V}.lora_B.other.weight`]: [4, 2] },
      "tensors of several adapters in one file: (no name), other",
    ],
    [
      "one place twice",
      { [`${Q}.lora_A.weight`]: [2, 3] },
      `two tensors for the same place: ${Q}.lora_A.weight`,
    ],
  ];
  test.each(badTensors)("refuses %s", async (_, shapes, expected) => {
    expect(await messageOf({}, { ...GOOD, ...shapes })).toContain(`  - adapter_model.safetensors: `);
    expect(await messageOf({}, { ...GOOD, ...shapes })).toContain(expected);
  });

  test("a header of 640 bytes, 80 02 in the file, is no pickle", async () => {
    const shapes = {
      ...GOOD,
      [`base_model.model.${V}.lora_A.weight`]: [2, 3],
      [`base_model.model.${V}.lora_B.weight`]: [4, 2],
    };
    const bytes = weights(shapes);
    const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    const padded = new Uint8Array(bytes.length + 640 - length).fill(0x20, 8, 648); // blanks behind the JSON
    padded.set(bytes.subarray(0, 8 + length));
    padded.set(bytes.subarray(8 + length), 648);
    new DataView(padded.buffer).setBigUint64(0, 640n, true);
    const files = filesOf({ [CONFIG]: { peft_type: "LORA", r: 2 }, [WEIGHTS]: padded });
    expect((await readPeftAdapter(files)).tensors.size).toBe(2);
  });

  test("refuses other number types and an empty file", async () => {
    const data = { shape: [2, 3], dtype: "I32", data: new Uint8Array(24) } as const;
    const entries = [
      { ...data, name: `${p}.${Q}.lora_A.weight` },
      entry(`${p}.${Q}.lora_B.weight`, tensor(4, 2)),
    ];
    const files = filesOf({ [CONFIG]: { peft_type: "LORA", r: 2 }, [WEIGHTS]: writeSafetensors(entries) });
    expect((await errorOf(() => readPeftAdapter(files))).message).toContain(
      "I32 in place of F32, F16, BF16, F64",
    );
    expect(await messageOf({}, {})).toContain("no tensor of LORA: 0 tensors");
  });

  test("reports the problems of both files at once, one line for many tensors alike", async () => {
    const many = Array.from({ length: 20 }, (_, i) => [`${p}.layers.${i}.lora_magnitude_vector`, [2]]);
    const message = await messageOf(
      { use_dora: true, bias: "some", r: 0, lora_alpha: null },
      { ...Object.fromEntries(many), [`${p}.${V}.lora_A.weight`]: [2, 3], [`${p}.head.weight`]: [2] },
    );
    for (const part of ["magnitude_vector without", 'bias is "some"', "r is 0", "lora_alpha is null"]) {
      expect(message).toContain(part);
    }
    for (const part of ["and 12 more", "lora_A without lora_B", "head.weight [2]"])
      expect(message).toContain(part);
    expect(message.split("\n").length).toBeLessThan(16);
  });
});

describe("files that are no PEFT adapter", () => {
  const cases: [string, Record<string, unknown>, string][] = [
    ["nothing", {}, "memory/adapter_config.json: no such file"],
    ["nothing (tensors)", {}, "memory/adapter_model.safetensors: no such file"],
    ["no tensors", { [CONFIG]: { peft_type: "LORA" } }, "the files there are adapter_config.json"],
    [
      "only a pickle",
      { [CONFIG]: { peft_type: "LORA" }, "adapter_model.bin": "x" },
      "from safetensors.torch import",
    ],
    ["a model", { "config.json": {}, "model.safetensors": "x" }, "this looks like a model, not an adapter"],
    ["a GGUF file", { [CONFIG]: { peft_type: "LORA" }, "lora.gguf": "x" }, "only lora.gguf: a GGUF file"],
    ["a checkpoint of torch", { "lora.pt": "x" }, 'torch.load("lora.pt", weights_only=True)'],
    ["diffusers' file", { "pytorch_lora_weights.safetensors": "x" }, "a LoRA of diffusers"],
    ["another name", { "lora.safetensors": "x" }, "rename it so"],
    [
      "checkpoints of a trainer",
      Object.fromEntries([20, 100, 3].map((n) => [`checkpoint-${n}/${WEIGHTS}`, "x"])),
      "adapters lie in the folders checkpoint-3, checkpoint-20, checkpoint-100",
    ],
    [
      "GGUF by another name",
      { [CONFIG]: { peft_type: "LORA" }, [WEIGHTS]: "GGUF1234" },
      "this is a GGUF file",
    ],
    [
      "a zip of torch.save",
      { [CONFIG]: { peft_type: "LORA" }, [WEIGHTS]: "PK\u0003\u0004" },
      "a Python pickle",
    ],
    [
      "invalid JSON",
      { [CONFIG]: '{\n "r": 8,\n}', [WEIGHTS]: weights(GOOD) },
      "invalid JSON at line 3 column 1",
    ],
    ["a list", { [CONFIG]: [], [WEIGHTS]: weights(GOOD) }, "it is [], expected an object"],
    ["a damaged file", { [CONFIG]: { peft_type: "LORA" }, [WEIGHTS]: "<html></html>" }, "safetensors"],
    ["MLX tensors", { "adapters.safetensors": "x" }, "an adapter of mlx-lm (adapters.safetensors)"],
    ["MLX tensors, with what to do", { "adapters.safetensors": "x" }, "convert FOLDER --to peft"],
    [
      "an MLX configuration",
      { [CONFIG]: { fine_tune_type: "lora", lora_parameters: { rank: 8, scale: 20 } } },
      'an adapter of mlx-lm (fine_tune_type "lora", rank 8, scale 20)',
    ],
  ];
  test.each(cases)("%s", async (_, contents, expected) => {
    expect((await errorOf(() => readPeftAdapter(filesOf(contents)))).message).toContain(expected);
  });

  test("a pickle is found where the files cannot be listed", async () => {
    const { list: _, ...files } = filesOf({ [CONFIG]: { peft_type: "LORA" }, "adapter_model.bin": "x" });
    expect((await errorOf(() => readPeftAdapter(files))).message).toContain("only adapter_model.bin");
  });
});

describe("peftFiles", () => {
  const modules = new Map([
    [Q, { lora_A: tensor(2, 3), lora_B: tensor(4, 2), r: 2, alpha: 4 }],
    [V, { lora_A: tensor(5, 3), lora_B: tensor(4, 5), r: 5, alpha: 20 }],
    [`x.${Q}`, { lora_A: tensor(3, 3), lora_B: tensor(4, 3), r: 3, alpha: 4 }],
  ]);
  const config = peftLoraConfig({ r: 2, lora_alpha: 4, target_modules: ["q_proj", "v_proj"] });

  // PEFT 0.21.0 loads this very folder with these ranks and scales, without a warning.
  test("modules of their own rank and alpha survive by whole names", async () => {
    const patterns = peftPatterns(config, modules);
    expect(patterns).toEqual({
      rank_pattern: {
        "^model\\.layers\\.1\\.self_attn\\.v_proj": 5,
        "^x\\.model\\.layers\\.0\\.self_attn\\.q_proj": 3,
      },
      alpha_pattern: { "^model\\.layers\\.1\\.self_attn\\.v_proj": 20 },
    });
    const written = peftFiles({ config: { ...config, ...patterns }, tensors: modules });
    const read = await readPeftAdapter(filesOf(Object.fromEntries(written)));
    const settings = [...read.tensors].map(([path, { r, alpha, scale }]) => [path, r, alpha, scale]);
    expect(new Map(settings.map(([path, ...rest]) => [path, rest]))).toEqual(
      new Map([
        [Q, [2, 4, 2]],
        [V, [5, 20, 4]],
        [`x.${Q}`, [3, 4, 4 / 3]],
      ]),
    );
    expect(read.warnings).toEqual([]);
    expect(read.tensors.get(V)!.lora_B).toEqual(tensor(4, 5));
  });

  test("refuses what PEFT would load otherwise than meant, all at once", async () => {
    const bad = {
      lora_A: { shape: [2], data: new Float32Array(2) },
      lora_B: { shape: [4, 2], data: new Float32Array(7) },
    };
    const entries: [string, Writable][] = [...modules, ["bad", bad]];
    const tensors = new Map(entries);
    const { message } = await errorOf(() => peftFiles({ config: { ...config, use_dora: true }, tensors }));
    expect(message).toContain("6 problems");
    for (const part of [
      "use_dora is true",
      `${V}: lora_A is [5,3] and lora_B [4,5], but the configuration gives it r 2; see peftPatterns`,
      `${V}: alpha is 20, but the configuration gives it 4`,
      "bad: lora_A is [2], expected two axes",
    ]) {
      expect(message).toContain(part);
    }
  });

  test("patterns are checked in the order in which PEFT reads them back", async () => {
    const rank_pattern = { [Q]: 2, ".*": 5 };
    const only = new Map([[Q, modules.get(Q)!]]);
    const { message } = await errorOf(() =>
      peftFiles({ config: { ...config, rank_pattern }, tensors: only }),
    );
    expect(message).toContain("gives it r 5");
  });
});

/** Published files; ../shared/data/README.md says whose they are. */
const DATA = fileURLToPath(new URL("../../../../shared/data/", import.meta.url));
const NO_DATA = "no ../shared/data here";

describe.skipIf(!existsSync(DATA))(`published adapters (skipped where there is ${NO_DATA})`, () => {
  test.each([
    ["lazyystar_demo", 12, 8, 2, "transformer.h.11.attn.c_attn", 768, 2304],
    ["gpt2_tigrinya", 36, 8, 4, "transformer.h.0.mlp.c_proj", 3072, 768],
    ["gemma3_270m_svg", 72, 4, 4, "model.layers.17.self_attn.q_proj", 640, 1024],
  ])("%s loads", async (name, modules, r, scale, path, inputs, outputs) => {
    const { tensors } = await readPeftAdapter(folderFiles(`${DATA}adapters/${name}`));
    expect(tensors.size).toBe(modules);
    expect([...tensors.values()].every((module) => module.r === r && module.scale === scale)).toBe(true);
    expect(tensors.get(path)!.lora_A.shape).toEqual([r, inputs]);
    expect(tensors.get(path)!.lora_B.shape).toEqual([outputs, r]);
    expect(tensors.get(path)!.lora_B.data.some((value) => value !== 0)).toBe(true);
  });

  test.each([
    ["dayanidhi_emotion_distilbert", 12, { pre_classifier: [768, 768], classifier: [6, 768] }],
    ["hareshjethani_bert", 24, { classifier: [2, 768] }],
    ["whyiswmm_age_vit", 24, { classifier: [10, 768] }],
  ])("%s loads with the head that was trained whole", async (name, modules, heads) => {
    const { tensors, saved, warnings } = await readPeftAdapter(folderFiles(`${DATA}adapters/${name}`));
    expect(tensors.size).toBe(modules);
    const shapes = Object.entries(heads).flatMap(([module, [out, inputs]]) => [
      [`${module}.bias`, [out]],
      [`${module}.weight`, [out, inputs]],
    ]);
    const found = [...saved].map(([name, { shape }]) => [name, [...shape]] as const);
    expect(Object.fromEntries(found)).toEqual(Object.fromEntries(shapes));
    expect(warnings).toEqual([]);
  });

  test.each([
    ["mlx_wyek1n", 'adapter of mlx-lm (adapters.safetensors; fine_tune_type "lora", rank 8, scale 10)'],
  ])("%s is refused with the reason", async (name, expected) => {
    const files = folderFiles(`${DATA}adapters/${name}`);
    expect((await errorOf(() => readPeftAdapter(files))).message).toContain(expected);
  });

  /** Of the published configurations only these are refused. */
  const REFUSED: Record<string, string> = {
    "Inishpy__lerobot-libero.json": "peft_type is missing",
    "danabindra__postgres-deadlock-agent-lora.json": "adapter of mlx-lm",
    "wyek1n__MLX-CLI.json": "adapter of mlx-lm",
  };
  const folder = `${DATA}adapter_configs/`;
  const names = existsSync(folder) ? readdirSync(folder) : [];
  test.each(names)("the configuration %s", async (name) => {
    const text = readFileSync(folder + name, "utf8");
    const given = JSON.parse(text) as Partial<PeftLoraConfig>;
    const r = given.r ?? 1;
    const shapes = {
      [`base_model.model.${Q}.lora_A.weight`]: [r, 2],
      [`base_model.model.${Q}.lora_B.weight`]: [2, r],
    };
    const files = memoryFiles(
      name,
      new Map([
        [CONFIG, utf8(text)],
        [WEIGHTS, weights(shapes)],
      ]),
    );
    const reason = REFUSED[name];
    if (reason) {
      expect((await errorOf(() => readPeftAdapter(files))).message).toContain(reason);
      return;
    }
    const { config, tensors } = await readPeftAdapter(files);
    expect(config.target_modules).toEqual(given.target_modules);
    expect(tensors.get(Q)!.scale).toBe(given.lora_alpha! / r);
  });
});
