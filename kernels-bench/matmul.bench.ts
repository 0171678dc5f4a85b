import type { Device } from "../src/gpu/device.ts";
import { fromArray } from "../src/gpu/tensor.ts";
import { decodingOf, FORMATS } from "../src/kernels/formats.ts";
import { type Layout, type MatmulVariant, matmul, matmulVariants } from "../src/kernels/matmul.ts";
import { Quantiser } from "../src/kernels/quantise.ts";
import { emptyWeight, type QuantisedWeight } from "../src/kernels/weight.ts";
import { quantiseReference } from "../test/reference/quantise.ts";
import {
  type BenchCase,
  type Expected,
  repeatedHalves,
  repeatedValues,
  sized,
  spread,
  tile,
} from "./harness.ts";
import { modelsAndTokens } from "./models.ts";

type WeightType = "f32" | "bf16" | "f16" | "int8" | "int4" | "nf4";

const FEW_BITS = ["int8", "int4", "nf4"] as const;

/** Elements of C that are computed in f64, k multiply-adds each. */
const SAMPLES = 256;

interface Shape {
  m: number;
  n: number;
  k: number;
}

/** A weight as it lies on the device, and its values. */
function weight(device: Device, shape: readonly [number, number], type: WeightType, seed: number) {
  const count = shape[0] * shape[1];
  if (type === "f32") {
    const values = repeatedValues(count, seed);
    return { tensor: fromArray(device, values, shape), values: () => values };
  }
  if (type === "bf16" || type === "f16") {
    const { codes, values } = repeatedHalves(count, seed, type);
    return { tensor: fromArray(device, codes, shape, type), values };
  }
  const decoding = decodingOf(type, { block: FORMATS[type].block ?? 64 });
  const tensor = emptyWeight(device, shape, decoding) as QuantisedWeight;
  const quantiser = new Quantiser(tensor);
  const few = repeatedValues(2 ** 16, seed); // a multiple of every block: the rest repeats
  const all = tile(few, new Float32Array(count));
  quantiser.add(fromArray(device, all, [count]), 0);
  const rounded = () => Float32Array.from(quantiseReference(few, { format: type, block: decoding.block }));
  return { tensor, values: () => tile(rounded(), new Float32Array(count)) };
}

interface Factor {
  values: ArrayLike<number>;
  /** Index of element (i, p) or (p, j), p counting along k. */
  at(outer: number, p: number): number;
}

/** Elements of a product, or of a sum of products, at some places of C. */
function sampleProduct({ m, n }: Shape, products: { a: Factor; b: Factor; k: number }[]): Expected {
  const at = spread(m * n, SAMPLES);
  const values = at.map((index) => {
    const [i, j] = [Math.floor(index / n), index % n];
    let sum = 0;
    for (const { a, b, k } of products) {
      for (let p = 0; p < k; p++) sum += (a.values[a.at(i, p)] as number) * (b.values[b.at(j, p)] as number);
    }
    return sum;
  });
  return { at, values };
}

function factors(layout: Layout, { m, n, k }: Shape, a: ArrayLike<number>, b: ArrayLike<number>) {
  const left = layout === "TN" ? (i: number, p: number) => p * m + i : (i: number, p: number) => i * k + p;
  const right = layout === "NT" ? (j: number, p: number) => j * k + p : (j: number, p: number) => p * n + j;
  return { a: { values: a, at: left }, b: { values: b, at: right }, k };
}

function product(
  op: string,
  size: string,
  layout: Layout,
  shape: Shape,
  type: WeightType = "f32",
  variant?: MatmulVariant,
): BenchCase {
  const { m, n, k } = shape;
  const work = 2 * m * n * k;
  const setup = (device: Device) => {
    const values = repeatedValues(m * k, 1);
    const A = fromArray(device, values, layout === "TN" ? [k, m] : [m, k]);
    const B = weight(device, layout === "NT" ? [n, k] : [k, n], type, 2);
    return {
      run: () => matmul(A, B.tensor, { layout, ...(variant && { variant }) }),
      reference: () => sampleProduct(shape, [factors(layout, shape, values, B.values())]),
      flops: work,
      bytes: 4 * (m * k + m * n) + bytesOf(n * k, type),
    };
  };
  return sized(op, size, work, setup, (device) => {
    if (variant && !matmulVariants(device, { ...shape, layout }).includes(variant))
      return `${variant} does not run here`;
    return tooLarge(device, n * k, type);
  });
}

/** Without the scales. */
const bytesOf = (count: number, type: WeightType) => (count * FORMATS[type].bits) / 8;

function tooLarge({ limits }: Device, elements: number, type: WeightType): string | undefined {
  const bytes = bytesOf(elements, type);
  return bytes > limits.maxBufferSize
    ? `the weight has ${bytes} bytes, a buffer at most ${limits.maxBufferSize}`
    : undefined;
}

/** y = x Wᵀ + (x Aᵀ) Bᵀ with bf16 weights: what one adapted linear costs. */
function loraLinear(tokens: number, inputs: number, outputs: number, r: number): BenchCase {
  const shape = { m: tokens, n: outputs, k: inputs };
  const work = 2 * tokens * (inputs * outputs + r * (inputs + outputs));
  const size = `T${tokens} K${inputs} N${outputs} r${r}`;
  return sized("matmul lora linear bf16", size, work, (device) => {
    const [x, a, b] = [
      repeatedValues(tokens * inputs, 1),
      repeatedValues(r * inputs, 3),
      repeatedValues(outputs * r, 4),
    ];
    const X = fromArray(device, x, [tokens, inputs]);
    const W = weight(device, [outputs, inputs], "bf16", 2);
    const [A, B] = [fromArray(device, a, [r, inputs]), fromArray(device, b, [outputs, r])];
    const branch = () => matmul(X, A, { layout: "NT" });
    return {
      run: () => matmul(X, W.tensor, { layout: "NT", extend: { h: branch(), e: B } }),
      reference: () => {
        const inner = lowRank(x, a, { tokens, inputs, r });
        return sampleProduct(shape, [
          factors("NT", shape, x, W.values()),
          factors("NT", { ...shape, k: r }, inner, b),
        ]);
      },
      flops: work,
      bytes: 4 * (x.length + a.length + b.length + tokens * outputs) + 2 * inputs * outputs,
    };
  });
}

/** x Aᵀ, whole: it has only r columns. */
function lowRank(
  x: ArrayLike<number>,
  a: ArrayLike<number>,
  { tokens, inputs, r }: { tokens: number; inputs: number; r: number },
) {
  const h = new Float64Array(tokens * r);
  for (let at = 0; at < h.length; at++) {
    const [i, j] = [Math.floor(at / r) * inputs, (at % r) * inputs];
    for (let p = 0; p < inputs; p++) h[at]! += (x[i + p] as number) * (a[j + p] as number);
  }
  return h;
}

function squares(): BenchCase[] {
  return [512, 1024, 2048, 4096].flatMap((s) => {
    const size = `${s}×${s}×${s}`;
    const shape = { m: s, n: s, k: s };
    return [
      product("matmul A·B f32", size, "NN", shape),
      product("matmul A·Bᵀ f32", size, "NT", shape),
      product("matmul A·Bᵀ bf16", size, "NT", shape, "bf16"),
    ];
  });
}

const VARIANTS: readonly MatmulVariant[] = [
  "portable",
  "subgroup",
  "tile-64",
  "tile-128",
  "small",
  "matrix-64",
  "matrix-128",
  "matrix-256",
];

/** The kernels beside each other, whichever is taken on this device; one family is the fastest on CPUs, others on GPUs. */
function variants(): BenchCase[] {
  return VARIANTS.flatMap((variant) =>
    [512, 2048].map((s) => {
      const shape = { m: s, n: s, k: s };
      return product(`matmul ${variant} A·Bᵀ bf16`, `${s}×${s}×${s}`, "NT", shape, "bf16", variant);
    }),
  );
}

/** The narrow products of an adapted layer's branch, which read much and compute little. */
function branches(): BenchCase[] {
  const r = 8;
  return modelsAndTokens().flatMap(({ model: { hidden, intermediate }, tokens }) => [
    product("matmul lora h", `T${tokens} K${hidden} r${r}`, "NT", { m: tokens, n: r, k: hidden }),
    product("matmul lora dA", `T${tokens} K${hidden} r${r}`, "TN", { m: r, n: hidden, k: tokens }),
    product("matmul lora dh", `T${tokens} N${intermediate} r${r}`, "NN", {
      m: tokens,
      n: r,
      k: intermediate,
    }),
    product("matmul lora dB", `T${tokens} N${intermediate} r${r}`, "TN", {
      m: intermediate,
      n: r,
      k: tokens,
    }),
  ]);
}

/** Forward, both gradients and the adapted forward of a square and a wide projection of each model. */
function projections(): BenchCase[] {
  return modelsAndTokens().flatMap(({ model, tokens }) =>
    [model.hidden, model.intermediate].flatMap((outputs) => {
      const inputs = model.hidden;
      const size = `T${tokens} K${inputs} N${outputs}`;
      const forward = { m: tokens, n: outputs, k: inputs };
      const dx = { m: tokens, n: inputs, k: outputs };
      const dw = { m: outputs, n: inputs, k: tokens };
      return [
        product("matmul linear f32", size, "NT", forward),
        product("matmul linear bf16", size, "NT", forward, "bf16"),
        product("matmul linear f16", size, "NT", forward, "f16"),
        ...FEW_BITS.map((type) => product(`matmul linear ${type}`, size, "NT", forward, type)),
        product("matmul linear dx f32", size, "NN", dx),
        product("matmul linear dx bf16", size, "NN", dx, "bf16"),
        ...FEW_BITS.map((type) => product(`matmul linear dx ${type}`, size, "NN", dx, type)),
        product("matmul linear dW f32", size, "TN", dw),
        loraLinear(tokens, inputs, outputs, 8),
      ];
    }),
  );
}

/** One token, as in generation: the weight is read once, so the bandwidth decides. */
function decoding(): BenchCase[] {
  const shapes = [
    [576, 1536],
    [896, 4864],
    [2048, 8192],
    [896, 151_936],
  ] as const;
  return shapes.flatMap(([k, n]) =>
    (["bf16", ...FEW_BITS] as const).map((type) =>
      product(`matmul decode ${type}`, `T1 K${k} N${n}`, "NT", { m: 1, n, k }, type),
    ),
  );
}

/** The output layer: logits of 128 tokens, and their gradient multiplied back. The larger weight is bound in windows on many devices. */
function heads(): BenchCase[] {
  const shapes = [
    [576, 32_000],
    [896, 151_936],
  ] as const;
  return shapes.flatMap(([k, n]) => {
    const size = `T128 K${k} N${n}`;
    return [
      product("matmul head bf16", size, "NT", { m: 128, n, k }, "bf16"),
      product("matmul head dx bf16", size, "NN", { m: 128, n: k, k: n }, "bf16"),
    ];
  });
}

export const cases: BenchCase[] = [
  ...squares(),
  ...variants(),
  ...projections(),
  ...branches(),
  ...heads(),
  ...decoding(),
];
