import { describe, expect, test } from "vitest";
import { faultsOf, formatFaults } from "../../kernels-bench/compiled/compare-compiled.ts";
import { compiledPage, formatCompiled } from "../../kernels-bench/compiled/compiled-page.ts";
import {
  type CompiledKernel,
  type CompiledReport,
  makeReport,
  parseCompiled,
  serializeCompiled,
} from "../../kernels-bench/compiled/compiled-result.ts";
import { type Mix, readCompilerOutput, shareOf } from "../../kernels-bench/compiled/compiler-output.ts";
import { cardOf } from "../../kernels-bench/compiled/driver.ts";
import { kernelsOfCases } from "../../kernels-bench/compiled/kernels-of-cases.ts";
import { sized } from "../../kernels-bench/harness.ts";
import { fromArray } from "../../src/gpu/tensor.ts";
import { scale } from "../../src/kernels/elementwise.ts";
import { matmul } from "../../src/kernels/matmul.ts";
import { testDevice } from "../support/device.ts";

/** As Mesa 25.0's RADV prints it. */
const PRINTED = `DRM_IOCTL_GET_CAP: unhandled 0x10

@@PIPELINE 0
Compute Shader
disasm:
BB0:
	s_buffer_load_b128 s[12:15], s[8:11], null                  ; f4280304 f8000000
	v_mad_u32_u24 v1, v2, v3, v4                                ; d60b0001
	v_fmac_f32_e32 v3, v1, v2                                   ; 56060501
BB3:
	ds_load_b128 v[0:3], v8 offset:16                           ; db7c0000
	v_dual_fmac_f32 v4, v0, v1 :: v_dual_fmac_f32 v5, v2, v3    ; c8000000
	v_dual_mov_b32 v4, v0 :: v_dual_add_f32 v5, v2, v3          ; c8000000
	v_fma_f32 v6, v1, v2, v6                                    ; d6130006
	buffer_store_b32 v6, v1, s[8:11], 0 offen                   ; e0680000
	s_nop 0                                                     ; bf800000
	(then repeated 6 times)
	s_cbranch_scc1 BB3                                          ; bfa2000c
BB7:
	s_endpgm                                                    ; bfb00000


Compute Shader:
*** SHADER STATS ***
SGPRs: 128
VGPRs: 60
Spilled SGPRs: 1
Spilled VGPRs: 2
LDS size: 16384
Scratch size: 32
Subgroups per SIMD: 16
Instructions: 12
Pre-Sched VGPRs: 55
********************
@@PIPELINE 12
disasm:
BB0:
	s_endpgm                                                    ; bfb00000
*** SHADER STATS ***
VGPRs: 8
Spilled SGPRs: 0
Spilled VGPRs: 0
LDS size: 0
Scratch size: 0
Subgroups per SIMD: 32
Instructions: 1
`;

const HOT: Mix = {
  ...{ instructions: 7, multiplyAdds: 3, dual: 2, matrix: 0 },
  ...{ workgroup: 1, buffer: 1, rest: 3 },
};

describe("what the compiler prints", () => {
  test("is read by pipeline: figures, and the block with the most multiply-adds by kinds of instructions", () => {
    const compiled = readCompilerOutput(PRINTED);
    expect([...compiled.keys()]).toEqual([0, 12]);
    const figures = { registers: 60, spills: 3, scratch: 32, workgroupMemory: 16384, waves: 16 };
    expect(compiled.get(0)).toEqual({ ...figures, instructions: 12, hot: HOT });
    expect(shareOf(HOT)).toBeCloseTo(3 / 7);
    expect(shareOf(compiled.get(12)?.hot as Mix)).toBe(0);
  });

  test("is read of a card without a disassembler, too", () => {
    const [, body = ""] = PRINTED.split("BB3:\n");
    const lines = [
      "\t v4: %488:v[44-47] = ds_read_b128 %487:v[40] storage:shared",
      "\t v1: %556:v[35] = v_fmac_f32 %1049:v[58], %1310:v[47], %521:v[35]",
      "\ts_cbranch_scc0 block:BB10",
    ];
    const printed = `@@PIPELINE 0\ndisasm:\nBB3\n/* kind: uniform, */\n${lines.join("\n")}\n${body.slice(body.indexOf("***"))}`;
    const mix = { instructions: 3, multiplyAdds: 1, dual: 0, matrix: 0, workgroup: 1, buffer: 0, rest: 1 };
    expect(readCompilerOutput(printed).get(0)?.hot).toEqual(mix);
  });

  test("by another compiler is refused", () => {
    expect(() => readCompilerOutput("@@PIPELINE 3\nsomething else")).toThrow(
      /"VGPRs" is missing.*pipeline 3[\s\S]*Mesa 25/,
    );
  });
});

const KERNEL: CompiledKernel = {
  ...{ name: "matmul.forward", constants: "TILE=64", registers: 60, spills: 0, scratch: 0 },
  ...{
    workgroupMemory: 0,
    waves: 16,
    instructions: 100,
    hot: { ...HOT, instructions: 40, multiplyAdds: 20 },
  },
};

const reportOf = (kernels: readonly CompiledKernel[], given: Partial<CompiledReport> = {}) => ({
  ...makeReport({
    ...{ package: "0.0.0", card: "navi31", device: "Radeon <1>", kernels },
    cases: { "matmul T1": kernels.map((_, i) => i), "matmul T2": kernels.map((_, i) => i) },
  }),
  ...given,
});

describe("a comparison", () => {
  const hot = (multiplyAdds: number) => ({ ...KERNEL, hot: { ...KERNEL.hot, multiplyAdds } });
  const reasons = (before: readonly CompiledKernel[], after: readonly CompiledKernel[]) =>
    faultsOf(reportOf(before), reportOf(after)).map(({ reason }) => reason);

  test("finds a smaller share, once for all cases, also where a constant was renamed", () => {
    const after = reportOf([{ ...hot(18), constants: "SIDE=64" }]);
    const text = formatFaults(reportOf([KERNEL]), after).join("\n");
    expect(text).toMatch(/became worse: 1\n/);
    expect(text).toMatch(
      /WORSE: matmul\.forward SIDE=64: multiply-adds are 45 % of the hot block, were 50 % \(matmul T1 and 1 more\)/,
    );
  });

  test("finds a kernel that begins to spill, a new one too", () => {
    expect(reasons([KERNEL], [{ ...KERNEL, spills: 4 }])).toEqual(["spills 4 registers"]);
    expect(reasons([], [{ ...KERNEL, spills: 4 }])).toEqual(["spills 4 registers"]);
    expect(reasons([{ ...KERNEL, spills: 2 }], [{ ...KERNEL, spills: 4 }])).toEqual([]);
  });

  test.each([
    ["the same", [KERNEL], [KERNEL]],
    ["more", [KERNEL], [hot(30)]],
    ["what scheduling changes", [hot(20)], [{ ...KERNEL, hot: { ...KERNEL.hot, instructions: 41 } }]],
    ["a new kernel", [], [hot(1)]],
    ["no hot loop", [hot(12)], [hot(1)]],
    ["the worse of two of one name", [KERNEL, hot(16)], [hot(16), KERNEL]],
  ] as const)("passes %s", (_, before, after) => {
    expect(reasons(before, after)).toEqual([]);
  });

  test("with another compiler says nothing", () => {
    const after = reportOf([hot(1)], { device: "Mesa 26" });
    expect(formatFaults(reportOf([KERNEL]), after)).toEqual([
      "not compared: its compiler was Radeon <1>, this one is Mesa 26; make it anew",
    ]);
  });
});

describe("a result", () => {
  const report = reportOf([KERNEL]);

  test("comes back from its file", () => {
    expect(parseCompiled(serializeCompiled(report), "x")).toEqual(report);
    const empty = reportOf([], { cases: {} });
    expect(parseCompiled(serializeCompiled(empty), "x")).toEqual(empty);
  });

  test.each([
    ["no JSON", "{", /old\.json: is no JSON/],
    ["a result of the other benchmark", '{"format":"webgpu-lora bench"}', /is no result of bench:compiled/],
    ["another version", JSON.stringify({ ...report, version: 2 }), /version 2; this program reads version 1/],
    ["half a file", JSON.stringify({ ...report, kernels: [{}] }), /but not a whole one/],
    ["cases of no kernel", JSON.stringify({ ...report, cases: { a: [7] } }), /but not a whole one/],
  ])("file: refuses %s", (_, text, message) => {
    expect(() => parseCompiled(text, "old.json")).toThrow(message);
  });

  test("is a table and a page that stands alone", () => {
    const row = /matmul\.forward TILE=64 +60 +0 +0 +0 +16 +100 +40 +20 +2 +0 +1 +1 +3 +50 % +matmul T1 \+ 1/;
    expect(formatCompiled(report).join("\n")).toMatch(row);
    const page = compiledPage(report, ["WORSE: <x>"]);
    expect(page).not.toMatch(/<script|https?:|src=|url\(|@import|<link|<x>|<1>/);
    expect(page).toContain("WORSE: &lt;x&gt;");
  });
});

test("a card that there is not lists those that there are", () => {
  expect(cardOf("polaris10")).toBe("polaris10");
  expect(() => cardOf("navi32")).toThrow(/no card "navi32"; did you mean navi31\?[\s\S]*cards: gfx1150/);
});

test("the kernels of cases are found without a launch, each once, with the constants in which they differ", async () => {
  const device = await testDevice();
  const doubled = (count: number) =>
    sized("double", `P${count}`, count, (own) => {
      const x = fromArray(own, new Float32Array(count), [count]);
      return { run: () => scale(x, 2), reference: () => x.shape };
    });
  const product = (layout: "NN" | "NT") =>
    sized(`product ${layout}`, "", 1, (own) => {
      const x = fromArray(own, new Float32Array(256), [16, 16]);
      return { run: () => matmul(x, x, { layout, variant: "portable" }), reference: () => x.shape };
    });
  const unfit = { ...doubled(64), name: "unfit", unfit: () => "too small" };
  const { dispatches } = device.stream;
  const { kernels, cases } = await kernelsOfCases(
    [doubled(64), doubled(1024), product("NN"), product("NT"), unfit],
    device,
  );
  expect(device.stream.dispatches).toBe(dispatches);
  expect(kernels.map(({ name, constants }) => [name, constants])).toEqual([
    ["elementwise.scale", ""],
    ["matmul.forward", "B_TRANSPOSED=false"],
    ["matmul.forward", "B_TRANSPOSED=true"],
  ]);
  expect([...cases.values()]).toEqual([[0], [0], [1], [2]]);
  const { compiled } = device.kernels;
  for (const kernel of kernels) kernel.compile(device);
  await device.check();
  expect(device.kernels.compiled).toBe(compiled);
});
