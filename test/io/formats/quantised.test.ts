// Broken checkpoints of quantised weights: everything that is wrong is told, and nothing is loaded.
import { describe, expect, test } from "vitest";
import { openModel } from "../../../src/load/model.ts";
import { type Edit, edited } from "../../support/checkpoint-edits.ts";
import { testDevice } from "../../support/device.ts";

/** A layer's tensors of these endings, changed, or left out where nothing comes back. */
const part =
  (
    ending: RegExp,
    change: (data: Uint8Array, shape: number[]) => { data: Uint8Array; shape: number[] } | undefined,
  ): Edit =>
  ({ tensors, config }) => ({
    config,
    tensors: tensors.flatMap((tensor) => {
      if (!ending.test(tensor.name)) return [tensor];
      const changed = change(tensor.data.slice(), [...tensor.shape]);
      return changed ? [{ ...tensor, ...changed }] : [];
    }),
  });
const without = (ending: RegExp) => part(ending, () => undefined);

/** The same numbers in one column. */
const flattened = (ending: RegExp) =>
  part(ending, (data, [rows = 0, columns = 0]) => ({ data, shape: [rows * columns, 1] }));

/** The fields of `quantization_config`, changed. */
const settings =
  (fields: Record<string, unknown>): Edit =>
  ({ tensors, config }) => ({
    tensors,
    config: { ...config, quantization_config: { ...(config.quantization_config as object), ...fields } },
  });

/** The fields of MLX's `quantization`, changed. */
const mlxSettings =
  (fields: Record<string, unknown>): Edit =>
  ({ tensors, config }) => ({
    tensors,
    config: { ...config, quantization: { ...(config.quantization as object), ...fields } },
  });

/** bitsandbytes' JSON, changed. */
const state = (fields: Record<string, unknown>) =>
  part(/up_proj\.weight\.quant_state/, (data) => {
    const json = JSON.parse(new TextDecoder().decode(data)) as object;
    const text = new TextEncoder().encode(JSON.stringify({ ...json, ...fields }));
    return { data: text, shape: [text.length] };
  });

/** A number of a tensor in f32. */
const float = (ending: RegExp, value: number) =>
  part(ending, (data, shape) => {
    new Float32Array(data.buffer)[3] = value;
    return { data, shape };
  });

const CASES: readonly (readonly [fixture: string, what: string, edit: Edit, message: RegExp])[] = [
  [
    "bnb-nf4",
    "no scales",
    without(/_proj\.weight\.absmax$/),
    /layers\.0\.self_attn\.q_proj\.weight\.absmax is missing/,
  ],
  [
    "bnb-nf4",
    "no quant_state",
    without(/up_proj\.weight\.quant_state/),
    /up_proj\.weight\.quant_state\.bitsandbytes__nf4/,
  ],
  ["bnb-nf4", "codes alone", without(/up_proj\.weight\./), /up_proj\.weight\.quant_state\.\S+ .*is missing/],
  [
    "bnb-nf4",
    "another shape",
    state({ shape: [128, 66] }),
    /has 4096 bytes, and \[128, 66\].* would have 4224/,
  ],
  [
    "bnb-nf4",
    "the shape turned",
    state({ shape: [64, 128] }),
    /up_proj\.weight is \[64, 128\], the config wants \[128, 64\]/,
  ],
  [
    "bnb-nf4",
    "another block",
    state({ blocksize: 128 }),
    /up_proj\.weight\.absmax is \[128\], expected \[64\]/,
  ],
  [
    "bnb-nf4",
    "a block that no vector fits",
    state({ blocksize: 6 }),
    /blocksize is 6, expected a multiple of 4/,
  ],
  [
    "bnb-nf4",
    "an unknown type",
    state({ quant_type: "nf3" }),
    /quant_type is "nf3", expected one of "nf4", "fp4"/,
  ],
  ["bnb-nf4", "the other type", state({ quant_type: "fp4" }), /bitsandbytes__nf4 says that it is fp4/],
  [
    "bnb-nf4",
    "another table",
    float(/up_proj\.weight\.quant_map$/, 0.3),
    /quant_map: has 0\.30\d* for code 3/,
  ],
  [
    "bnb-nf4",
    "a scale that is none",
    float(/up_proj\.weight\.absmax$/, Number.NaN),
    /up_proj\.weight holds NaN/,
  ],
  ["bnb-nf4-nested", "no second scales", without(/nested_absmax$/), /absmax is U8, expected F32/],
  ["bnb-nf4-nested", "no map of scales", without(/nested_quant_map$/), /nested_quant_map is missing/],
  [
    "bnb-nf4-nested",
    "another second block",
    state({ nested_blocksize: 128 }),
    /nested_blocksize 128.*expected 256/,
  ],
  ["bnb-int8", "no scales", without(/SCB$/), /q_proj\.SCB is missing/],
  [
    "bnb-int8",
    "a GPU's own order",
    part(/up_proj\.weight_format$/, (_, shape) => ({ data: Uint8Array.of(2), shape })),
    /up_proj\.weight_format: is 2, an order other than row after row/,
  ],
  ["fp8-blocks", "no scales", without(/weight_scale_inv$/), /q_proj\.weight_scale_inv is missing/],
  [
    "fp8-blocks",
    "another block",
    settings({ weight_block_size: [128, 128] }),
    /q_proj\.weight_scale_inv is \[2, 2\], which divides no \[64, 64\], in blocks of \[128, 128\]/,
  ],
  ["fp8-blocks", "no block", settings({ weight_block_size: [0, 128] }), /weight_block_size is \[0,128\]/],
  [
    "fp8-blocks",
    "a code that is no number",
    part(/up_proj\.weight$/, (data, shape) => ({ data: data.fill(0xff, 9, 10), shape })),
    /up_proj\.weight holds NaN/,
  ],
  ["mxfp4", "no scales", without(/up_proj\.weight_scales$/), /up_proj\.weight_scales is missing/],
  [
    "mxfp4",
    "scales of other blocks",
    flattened(/up_proj\.weight_scales$/),
    /weight_scales is \[256, 1\], expected \[128, 2\]/,
  ],
  [
    "mxfp4",
    "a scale that is none",
    part(/up_proj\.weight_scales$/, (data, shape) => ({ data: data.fill(255, 9, 10), shape })),
    /up_proj\.weight holds NaN/,
  ],
  ["ct-int4", "no scales", without(/weight_scale$/), /q_proj\.weight_scale is missing/],
  ["ct-int4", "no shape", without(/weight_shape$/), /q_proj\.weight_shape is missing/],
  [
    "ct-int4",
    "another shape",
    part(/up_proj\.weight_shape$/, (data, shape) => ({ data: data.fill(63, 8, 9), shape })),
    /up_proj\.weight_packed is I32 \[128, 8\]: no \[128, 63\] in 4 or 8 bits/,
  ],
  [
    "ct-int4",
    "groups that do not divide",
    part(/up_proj\.weight_scale$/, () => ({ data: new Uint8Array(128 * 3 * 2), shape: [128, 3] })),
    /up_proj\.weight_scale is \[128, 3\], which divides no \[128, 64\]/,
  ],
  [
    "ct-int4",
    "another layout",
    settings({ format: "marlin-24" }),
    /format is "marlin-24"; read are pack-quantized/,
  ],
  [
    "ct-int4",
    "sparse weights",
    settings({ sparsity_config: { format: "sparse-24-bitmask" } }),
    /no sparse weights are read/,
  ],
  ["ct-int4", "rotations", settings({ transform_config: { config_groups: {} } }), /transform_config rotates/],
  [
    "ct-int4-zeros",
    "fewer zero points",
    part(/up_proj\.weight_zero_point$/, (data) => ({ data: data.slice(0, 4 * 8), shape: [8, 1] })),
    /up_proj\.weight_zero_point is \[8, 1\], expected \[16, 1\]/,
  ],
  ["gptq-int4", "no scales", without(/\.scales$/), /q_proj\.scales is missing/],
  ["gptq-int4", "no zero points", without(/up_proj\.qzeros$/), /up_proj\.qzeros is missing/],
  ["gptq-int4", "other bits", settings({ bits: 3 }), /bits is 3; read are 4 and 8/],
  [
    "gptq-int4",
    "another format",
    settings({ checkpoint_format: "bitblas" }),
    /format is "bitblas"; read are "gptq"/,
  ],
  [
    "gptq-int4-zeros",
    "zero points that sym denies",
    settings({ sym: true }),
    /qzeros: has zero points beside the middle/,
  ],
  [
    "gptq-int4",
    "groups that do not divide",
    part(/up_proj\.scales$/, () => ({ data: new Uint8Array(3 * 128 * 2), shape: [3, 128] })),
    /up_proj\.scales has 3 groups, and rows have 64 values/,
  ],
  [
    "gptq-int4",
    "columns in an order of their own",
    part(/up_proj\.g_idx$/, (data, shape) => ({ data: data.fill(1, 0, 1), shape })),
    /up_proj\.g_idx: has groups of columns that lie apart.*"desc_act": false[\s\S]*write "desc_act": true/,
  ],
  [
    "gptq-int4",
    "columns in a group that is none",
    (checkpoint) =>
      settings({ desc_act: true })(
        part(/up_proj\.g_idx$/, (data, shape) => ({ data: data.fill(2, 8, 9), shape }))(checkpoint),
      ),
    /up_proj\.g_idx: column 2 is in group 2 of 2/,
  ],
  ["awq", "another order", settings({ version: "gemv" }), /version is "gemv"; read is "gemm"/],
  ["awq", "no zero points", without(/up_proj\.qzeros$/), /up_proj\.qzeros is missing/],
  ["mlx-4", "other bits", mlxSettings({ bits: 7 }), /bits is 7; read are 2, 3, 4, 5, 6, 8/],
  [
    "mlx-4",
    "bits that are not those of the file",
    mlxSettings({ bits: 8 }),
    /q_proj\.weight has 32 values of 8 bits in a row, which groups of 64 do not divide/,
  ],
  ["mlx-4", "an unknown mode", mlxSettings({ mode: "nvfp4" }), /mode is "nvfp4"; read are "affine"/],
  ["mlx-4", "a layer's own bits", mlxSettings({ lm_head: { bits: 1 } }), /lm_head\.bits is 1/],
  ["mlx-4", "no offsets", without(/up_proj\.biases$/), /up_proj\.biases is missing/],
  [
    "bnb-int8",
    "no columns",
    part(/up_proj\.weight$/, () => ({ data: new Uint8Array(0), shape: [128, 0] })),
    /up_proj\.weight holds no values: \[128, 0\]/,
  ],
];

describe.each(CASES)("%s", (fixture, what, edit, message) => {
  test(`${what} is told`, async () => {
    const device = await testDevice();
    const { used } = device.memory.stats;
    await expect(
      edited(`quantised/${fixture}`, edit).then((files) => openModel(files, device)),
    ).rejects.toThrow(message);
    expect(device.memory.stats.used).toBe(used);
  });
});

test("all that is wrong with the layers is told at once", async () => {
  const files = await edited("quantised/bnb-nf4", (checkpoint) =>
    without(/up_proj\.weight\.absmax$/)(
      state({ shape: [1, 2] })(without(/q_proj\.weight\.quant_map$/)(checkpoint)),
    ),
  );
  const message = await openModel(files, await testDevice()).catch((error: Error) => error.message);
  for (const problem of [
    /up_proj\.weight\.absmax is missing/,
    /up_proj\.weight has 4096 bytes/,
    /q_proj\.weight\.quant_map is missing/,
  ])
    expect(message).toMatch(problem);
});

test("a quantised base is not quantised again", async () => {
  const files = await edited("quantised/bnb-nf4", (checkpoint) => checkpoint);
  const opening = openModel(files, await testDevice(), { quantization: "int8" });
  await expect(opening).rejects.toThrow(
    /its weights are quantised already \(nf4\)[\s\S]*leave quantization out/,
  );
});

test("a config that says so of weights that are not quantised changes nothing", async () => {
  const files = await edited("llama-gqa", settings({ quant_method: "bitsandbytes", load_in_4bit: true }));
  (await openModel(files, await testDevice())).release();
});
