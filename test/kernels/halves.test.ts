import { describe, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { fromArray, scoped, type Tensor } from "../../src/gpu/tensor.ts";
import { activate, activateBackward } from "../../src/kernels/activation.ts";
import { attention, attentionBackward } from "../../src/kernels/attention.ts";
import { branchGradients } from "../../src/kernels/branch-gradients.ts";
import { columnScale, columnScaleBackward, rowScale } from "../../src/kernels/column-scale.ts";
import { sliceColumns, sliceColumnsBackward } from "../../src/kernels/columns.ts";
import { dropout } from "../../src/kernels/dropout.ts";
import * as elementwise from "../../src/kernels/elementwise.ts";
import { gatedActivation, gatedActivationBackward } from "../../src/kernels/gated-activation.ts";
import * as layer from "../../src/kernels/layer-norm.ts";
import { type MatmulOptions, matmul, matmulVariants } from "../../src/kernels/matmul.ts";
import * as rms from "../../src/kernels/rms-norm.ts";
import * as rotary from "../../src/kernels/rope.ts";
import { rowSquares } from "../../src/kernels/row-norms.ts";
import { gatherRows, scatterRows } from "../../src/kernels/rows.ts";
import { splitSum } from "../../src/kernels/split-sum.ts";
import { swapAxes } from "../../src/kernels/swap-axes.ts";
import { randomValues } from "../reference/gradient.ts";
import { floats, testDevice } from "../support/device.ts";
import { toHalf } from "../support/halves.ts";

// Kernels that keep activations in f16 compute what they compute of the same values in f32, rounded once.

/** Half of the last place of an f16, and some room: norms of sums of the same values in another order. */
const ROUNDED = 2 ** -10;

/** Makes tensors of activations, of values that both types can hold. */
type Make = (shape: readonly number[], seed: number) => Tensor;

const maker =
  (device: Device, dtype: "f32" | "f16"): Make =>
  (shape, seed) => {
    const size = shape.reduce((a, b) => a * b, 1);
    const values = floats(device, Float64Array.from(randomValues(size, seed), toHalf), shape);
    return dtype === "f16" ? elementwise.convert(values, "f16") : values;
  };

const f32 = (device: Device, shape: readonly number[], seed: number) => maker(device, "f32")(shape, seed);

const device = await testDevice();

type Computed = Readonly<Record<string, Tensor>>;
type Case = readonly [name: string, compute: (make: Make, device: Device) => Computed];

const SIZES = [
  { rows: 5, cols: 64 },
  { rows: 3, cols: 37 },
];

function rowCases({ rows, cols }: { rows: number; cols: number }): Case[] {
  const shape = [rows, cols];
  const half = Math.ceil(cols / 2 / 4) * 4 < cols ? Math.ceil(cols / 2 / 4) * 4 : 1;
  const of = (name: string) => `${name} of ${rows}×${cols}`;
  const norm = { eps: 1e-5 };
  return [
    [
      of("activation"),
      (make) => {
        const [x, dy, into] = [make(shape, 1), make(shape, 2), make(shape, 3)];
        return { y: activate(x, "gelu"), dx: activateBackward(dy, { x, activation: "gelu" }, into) };
      },
    ],
    [
      of("gated activation"),
      (make) => {
        const [gate, up, dy] = [make(shape, 1), make(shape, 2), make(shape, 3)];
        return { y: gatedActivation(gate, up), ...gatedActivationBackward(dy, { gate, up }) };
      },
    ],
    [
      of("dropout"),
      (make) => {
        const options = { p: 0.3, seed: 7 };
        return { y: dropout(make(shape, 1), options), sum: dropout(make(shape, 1), options, make(shape, 2)) };
      },
    ],
    [
      of("element by element"),
      (make, device) => {
        const [a, b] = [make(shape, 1), make(shape, 2)];
        return {
          sum: elementwise.add(a, b, 0.5),
          product: elementwise.multiply(a, b),
          scaled: elementwise.scale(a, 3, make(shape, 3)),
          by: elementwise.scaleBy(a, floats(device, [1.5], [1])),
          capped: elementwise.softcap(a, 2),
          slope: elementwise.softcapBackward(b, a, 2),
          biased: elementwise.addBias(make(shape, 4), f32(device, [cols], 5)),
          db: elementwise.biasGradient(a),
          into: elementwise.addInto(make(shape, 6), b),
          zeros: elementwise.zeros(device, shape, a.dtype),
        };
      },
    ],
    [
      of("RMSNorm"),
      (make, device) => {
        const [x, residual, dy] = [make(shape, 1), make(shape, 2), make(shape, 3)];
        const weight = f32(device, [cols], 4);
        const { y, rstd } = rms.rmsNorm(x, weight, norm);
        const saved = { x, weight, rstd, ...norm };
        return {
          ...{ y, rstd },
          dx: rms.rmsNormBackward(dy, saved, make(shape, 5)),
          dw: rms.rmsNormBackwardWeight(dy, saved),
          sum: rms.rmsNormOfSum(x, residual, weight, norm).sum,
        };
      },
    ],
    [
      of("LayerNorm"),
      (make, device) => {
        const [x, dy] = [make(shape, 1), make(shape, 2)];
        const weight = f32(device, [cols], 3);
        const { y, stats } = layer.layerNorm(x, weight, f32(device, [cols], 4), norm);
        const saved = { x, weight, stats };
        return {
          ...{ y, stats },
          dx: layer.layerNormBackward(dy, saved, make(shape, 5)),
          dw: layer.layerNormBackwardWeight(dy, saved),
        };
      },
    ],
    [
      of("rows"),
      (make, device) => {
        const index = fromArray(device, Uint32Array.of(2, 0), [2]);
        const part = [2, cols];
        return {
          some: gatherRows(make(shape, 1), index),
          back: scatterRows(make(part, 2), index, rows),
          into: scatterRows(make(part, 2), index, rows, make(shape, 3)),
        };
      },
    ],
    [
      of("scaled columns"),
      (make, device) => {
        const [x, dy, scale, fixed] = [
          make(shape, 1),
          make(shape, 2),
          f32(device, [cols], 3),
          f32(device, [cols], 4),
        ];
        return {
          y: columnScale(x, scale, { fixed }),
          sum: columnScale(x, scale, { into: make(shape, 5) }),
          byRow: rowScale(x, f32(device, [rows], 6)),
          ...columnScaleBackward(dy, { x, scale, fixed }),
        };
      },
    ],
    [
      of("columns"),
      (make) => ({
        part: sliceColumns(make(shape, 1), half, cols),
        back: sliceColumnsBackward(make([rows, cols - half], 2), half, cols, make(shape, 3)),
        fresh: sliceColumnsBackward(make([rows, cols - half], 2), half, cols),
      }),
    ],
    [
      of("swapped axes"),
      (make) => ({
        y: swapAxes(make(shape, 1), { rows, cols }),
        sum: swapAxes(make(shape, 1), { rows, cols }, make(shape, 2)),
      }),
    ],
  ];
}

function ropeCase(headDim: number): Case {
  return [
    `rotary embedding of heads of ${headDim}`,
    (make, device) => {
      const table = rotary.uploadRopeTable(device, rotary.ropeTable({ length: 8, headDim, theta: 1e4 }));
      const positions = fromArray(device, Uint32Array.of(0, 1, 2, 0, 1, 5), [2, 3]);
      const [q, k] = [make([2, 3, 4, headDim], 1), make([2, 3, 2, headDim], 2)];
      const [rq, rk] = rotary.ropePair(q, k, table, positions);
      return {
        rq,
        rk,
        y: rotary.rope(q, table, positions),
        dx: rotary.ropeBackward(q, table, positions, make(q.shape, 3)),
      };
    },
  ];
}

function attentionCase(headDim: number, portable: boolean): Case {
  return [
    `attention of heads of ${headDim}${portable ? ", portable" : ""}`,
    (make, device) => {
      const [q, k, v] = [
        make([1, 40, 4, headDim], 1),
        make([1, 40, 2, headDim], 2),
        make([1, 40, 2, headDim], 3),
      ];
      const spans = fromArray(
        device,
        Uint32Array.from({ length: 80 }, (_, i) => (i % 2 === 0 ? 0 : 40)),
        [1, 40, 2],
      );
      const options = { scale: headDim ** -0.5, spans, portable };
      const { o, logsumexp } = attention(q, k, v, options);
      // The same o in both, so that the backward pass does not see another rounding.
      const given = make([1, 40, 4, headDim], 5);
      return {
        o,
        logsumexp,
        ...attentionBackward(make(q.shape, 4), { q, k, v, o: given, logsumexp, ...options }),
      };
    },
  ];
}

const PRODUCTS = [
  { m: 70, n: 68, k: 132 },
  { m: 40, n: 8, k: 64 },
  { m: 3, n: 33, k: 64 },
  { m: 5, n: 7, k: 9 },
];

/** A test for each variant: the first time, drivers take long to compile them. */
function productCases({ m, n, k }: { m: number; n: number; k: number }): Case[] {
  return (["NN", "NT", "TN"] as const).flatMap((layout) => {
    const shapeA = layout === "TN" ? [k, m] : [m, k];
    const shapeB = layout === "NT" ? [n, k] : [k, n];
    const factors = (make: Make) =>
      [make(shapeA, 1), layout === "TN" ? make(shapeB, 2) : f32(device, shapeB, 2)] as const;
    const name = `${layout} product of ${m}×${n}×${k}`;
    const variants = matmulVariants(device, { layout, m, n, k }).filter((variant) => variant !== "matvec");
    return [
      [name, (make) => ({ usual: matmul(...factors(make), { layout }) })] as Case,
      ...variants.map((variant): Case => {
        const options: MatmulOptions = { layout, alpha: 0.5, variant };
        const compute = (make: Make) => {
          const into = layout === "TN" ? f32(device, [m, n], 3) : make([m, n], 3);
          const [a, b] = factors(make);
          return { stored: matmul(a, b, options), added: matmul(a, b, { ...options, into }) };
        };
        return [`${name}, ${variant}`, compute];
      }),
    ];
  });
}

const CASES: readonly Case[] = [
  ...SIZES.flatMap(rowCases),
  ...[8, 6].map(ropeCase),
  attentionCase(64, false),
  attentionCase(20, true),
  ...PRODUCTS.flatMap(productCases),
  [
    "a product with a low-rank branch",
    (make, device) => {
      const extend = { h: f32(device, [6, 8], 3), e: f32(device, [12, 8], 4) };
      return { y: matmul(make([6, 64], 1), f32(device, [12, 64], 2), { layout: "NT", extend }) };
    },
  ],
  [
    "gradients of low-rank branches",
    (make, device) => {
      const dh = elementwise.zeros(device, [20, 8]);
      const flat = elementwise.zeros(device, [2 * 12 * 4]);
      const layers = [0, 1].map((i) => {
        const dB = flat.slice(48 * i, 48 * (i + 1)).reshape([12, 4]);
        return { dy: make([20, 12], 1 + i), B: f32(device, [12, 4], 3 + i), dB, first: 4 * i };
      });
      branchGradients(layers.slice(0, 1), { h: f32(device, [20, 8], 5), dh, scale: 2 });
      return { dh, flat };
    },
  ],
  [
    "the end of a sum that was cut into slices",
    (make, device) => {
      const parts = f32(device, [3, 5, 8], 1);
      return {
        y: splitSum(parts, make([5, 8], 2)),
        sum: splitSum(parts, make([5, 8], 2), { accumulate: true }),
      };
    },
  ],
];

async function read(tensor: Tensor): Promise<Float32Array> {
  return (tensor.dtype === "f16" ? elementwise.convert(tensor, "f32") : tensor).read();
}

describe("activations in f16", () => {
  test.each(CASES)("%s", async (_, compute) => {
    if (!device.info.f16) {
      expect(() => elementwise.convert(floats(device, [1], [1]), "f16")).toThrow(/no f16/);
      return;
    }
    const wanted = compute(maker(device, "f32"), device);
    const got = compute(maker(device, "f16"), device);
    for (const [name, tensor] of Object.entries(got))
      expect(await read(tensor), name).toBeClose(await read(wanted[name] as Tensor), ROUNDED);
  });

  test("conversion rounds to the nearest, and overflows to infinity", async () => {
    if (!device.info.f16) return;
    const values = [
      ...randomValues(99, 1, 100),
      65504,
      -1e5,
      1e5,
      2 ** -15,
      0,
      1 + 2 ** -11,
      1 + 3 * 2 ** -11,
    ];
    const got = await read(elementwise.convert(floats(device, values, [values.length]), "f16"));
    const wanted = values.map((x) =>
      Math.abs(x) > 65519 ? Math.sign(x) * Number.POSITIVE_INFINITY : toHalf(x),
    );
    expect([...got]).toEqual(wanted.map(Math.fround));
  });

  test("halves beside f32, and kernels that know f32 alone, are refused", () => {
    if (!device.info.f16) return;
    const [half, single] = [maker(device, "f16")([4, 8], 1), maker(device, "f32")([4, 8], 1)];
    expect(() => elementwise.add(half, single)).toThrow(/activations of f16 \(2\) and of f32 \(1\) meet/);
    expect(() => rowSquares(half)).toThrow(/"x" is f16, and this kernel computes from f32/);
    expect(() => scoped(device, () => matmul(half, half, { layout: "NT", variant: "matvec" }))).toThrow(
      /matvec cannot/,
    );
  });
});
