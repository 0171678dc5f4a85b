// Products with columns of wider matrices, as layers of one input share them.
import { describe, expect, test } from "vitest";
import { fromArray, type Tensor } from "../../src/gpu/tensor.ts";
import { type Columns, type MatmulVariant, matmul } from "../../src/kernels/matmul.ts";
import { randomValues } from "../reference/gradient.ts";
import { matmulReference } from "../reference/matmul.ts";
import { floats, testDevice } from "../support/device.ts";

const VARIANTS: (MatmulVariant | undefined)[] = [
  undefined,
  "portable",
  "subgroup",
  "tile-64",
  "tile-128",
  "small",
];

/** A matrix of `cols` columns with `part` in some of them and noise in the others. */
function widened(part: ArrayLike<number>, rows: number, { first, count, cols }: Range): Float64Array {
  const wide = randomValues(rows * cols, 9);
  for (let row = 0; row < rows; row++) {
    for (let col = 0; col < count; col++) wide[row * cols + first + col] = part[row * count + col]!;
  }
  return wide;
}

interface Range {
  first: number;
  count: number;
  cols: number;
}

async function columnsOf(tensor: Tensor, { first, count, cols }: Range): Promise<Float64Array> {
  const all = await tensor.read();
  const rows = Array.from({ length: tensor.rows }, (_, row) => row * cols + first);
  return Float64Array.from(rows.flatMap((start) => [...all.slice(start, start + count)]));
}

const ranges: Range[] = [
  { first: 8, count: 8, cols: 24 },
  { first: 16, count: 4, cols: 24 },
  { first: 3, count: 5, cols: 10 },
];

describe.each(VARIANTS)("variant %s", (variant) => {
  test.each(ranges)("columns $first + $count of $cols", async (range) => {
    const device = await testDevice();
    const { first, count: r, cols } = range;
    const needsVectors = variant && variant !== "portable";
    if (needsVectors && (first % 4 || (variant === "subgroup" && device.info.subgroupSize === 0))) return;
    const [m, n, k] = [70, 36, 40];
    const options = variant && { variant };
    const columns = (of: Tensor): Columns => ({ of, first, count: r });

    // of H: y = x Wᵀ + h Bᵀ
    const [x, w, h, e] = [m * k, n * k, m * r, n * r].map((count, seed) => randomValues(count, seed));
    const H = floats(device, widened(h!, m, range), [m, cols]);
    const [X, W, E] = [floats(device, x!, [m, k]), floats(device, w!, [n, k]), floats(device, e!, [n, r])];
    const branch = matmulReference(h!, e!, { m, n, k: r, layout: "NT" });
    const y = matmulReference(x!, w!, { m, n, k, layout: "NT" }).map((value, i) => value + branch[i]!);
    expect(
      await matmul(X, W, { layout: "NT", extend: { h: columns(H), e: E }, ...options }).read(),
    ).toBeClose(y);
    const windowed = { extend: { h: columns(H), e: E }, windowBytes: 70 * k };
    expect(await matmul(X, W, { layout: "NT", ...windowed, ...options }).read()).toBeClose(y);

    // of B: dB = dyᵀ h, added
    const [dy, start] = [randomValues(m * n, 5), randomValues(n * r, 6)];
    const dB = matmulReference(dy, h!, { m: n, n: r, k: m, layout: "TN" }).map((v, i) => v + start[i]!);
    const [DY, into] = [floats(device, dy, [m, n]), floats(device, start, [n, r])];
    expect(await matmul(DY, columns(H), { layout: "TN", into, ...options }).read()).toBeClose(dB);

    // of C: dh = 2 dy B, which leaves the other columns as they are
    const before = widened(new Float64Array(m * r), m, range);
    const out = floats(device, before, [m, cols]);
    const dh = matmulReference(dy, e!, { m, n: r, k: n, layout: "NN" }).map((value) => 2 * value);
    expect(matmul(DY, E, { layout: "NN", alpha: 2, out: columns(out), ...options })).toBe(out);
    expect(await columnsOf(out, range)).toBeClose(dh);
    expect(await out.read()).toBeClose(widened(dh, m, range));
  });
});

describe.each(VARIANTS)("variant %s", (variant) => {
  test("a sum over a number of columns that is no multiple of four, with zeros behind", async () => {
    const device = await testDevice();
    if (variant === "subgroup" && device.info.subgroupSize === 0) return;
    const [m, n, k, cols] = [36, 20, 37, 44];
    const [a, b] = [randomValues(m * k, 1), randomValues(k * n, 2)];
    const wide = new Float64Array(m * cols).map((_, i) =>
      i % cols < k ? a[Math.floor(i / cols) * k + (i % cols)]! : i % cols < 40 ? 0 : 99,
    );
    const A = { of: floats(device, wide, [m, cols]), first: 0, count: k };
    const B = floats(device, b, [k, n]);
    const wanted = matmulReference(a, b, { m, n, k, layout: "NN" });
    const options = { layout: "NN", paddedSum: true, ...(variant && { variant }) } as const;
    expect(await matmul(A, B, options).read()).toBeClose(wanted);
    expect(await matmul(A, B, { ...options, windowBytes: 16 * 4 * n }).read()).toBeClose(wanted);
  });
});

test("columns of A: a gradient of part of a matrix", async () => {
  const device = await testDevice();
  const [m, n, k, cols] = [5, 12, 7, 8];
  const [a, b] = [randomValues(k * m, 1), randomValues(k * n, 2)];
  const A = floats(device, widened(a, k, { first: 2, count: m, cols }), [k, cols]);
  const got = matmul({ of: A, first: 2, count: m }, floats(device, b, [k, n]), { layout: "TN" });
  expect(await got.read()).toBeClose(matmulReference(a, b, { m, n, k, layout: "TN" }));
});

test("a few rows: the branch of a decoded token", async () => {
  const device = await testDevice();
  const [n, k, r, cols] = [20, 16, 4, 12];
  const [x, w, h, e] = [k, n * k, r, n * r].map((count, seed) => randomValues(count, seed));
  const range = { first: 5, count: r, cols };
  const H = floats(device, widened(h!, 1, range), [1, cols]);
  const extend = { h: { of: H, first: 5, count: r }, e: floats(device, e!, [n, r]) };
  const branch = matmulReference(h!, e!, { m: 1, n, k: r, layout: "NT" });
  const wanted = matmulReference(x!, w!, { m: 1, n, k, layout: "NT" }).map((value, i) => value + branch[i]!);
  const got = matmul(floats(device, x!, [1, k]), floats(device, w!, [n, k]), { layout: "NT", extend });
  expect(await got.read()).toBeClose(wanted);
});

// A part of B in each window: 16 of its rows, of which the last window has fewer.
describe.each(VARIANTS)("variant %s in windows of B", (variant) => {
  const options = variant && { variant };
  const range = { first: 8, count: 20, cols: 32 };

  test("columns of C", async () => {
    const device = await testDevice();
    if (variant === "subgroup" && device.info.subgroupSize === 0) return;
    const [m, n, k] = [6, range.count, 64];
    const [x, w] = [randomValues(m * k, 1), randomValues(n * k, 2)];
    const out = floats(device, widened(new Float64Array(m * n), m, range), [m, range.cols]);
    const product = {
      layout: "NT",
      out: { of: out, ...range },
      windowBytes: 16 * 4 * k,
      ...options,
    } as const;
    matmul(floats(device, x, [m, k]), floats(device, w, [n, k]), product);
    const wanted = matmulReference(x, w, { m, n, k, layout: "NT" });
    expect(await out.read()).toBeClose(widened(wanted, m, range));
  });

  test("columns of A", async () => {
    const device = await testDevice();
    if (variant === "subgroup" && device.info.subgroupSize === 0) return;
    const [m, n, k] = [6, 64, range.count];
    const [x, w] = [randomValues(m * k, 1), randomValues(n * k, 2)];
    const A = { of: floats(device, widened(x, m, range), [m, range.cols]), ...range };
    const product = { layout: "NN", windowBytes: 16 * 4 * n, ...options } as const;
    const got = matmul(A, floats(device, w, [k, n]), product);
    expect(await got.read()).toBeClose(matmulReference(x, w, { m, n, k, layout: "NN" }));
  });
});

describe.each(VARIANTS)("variant %s", (variant) => {
  test("columns of B as rows of its transpose", async () => {
    const device = await testDevice();
    if (variant === "subgroup" && device.info.subgroupSize === 0) return;
    const [m, n, range] = [6, 12, { first: 4, count: 8, cols: 16 }];
    const [x, w] = [randomValues(m * 8, 1), randomValues(n * 8, 2)];
    const B = { of: floats(device, widened(w, n, range), [n, range.cols]), ...range };
    const got = matmul(floats(device, x, [m, 8]), B, { layout: "NT", ...(variant && { variant }) });
    expect(await got.read()).toBeClose(matmulReference(x, w, { m, n, k: 8, layout: "NT" }));
  });
});

test("a few rows by columns of B, into columns of C", async () => {
  const device = await testDevice();
  const [m, n, range] = [3, 8, { first: 4, count: 8, cols: 16 }];
  const [x, w] = [randomValues(m * 8, 1), randomValues(n * 8, 2)];
  const wanted = matmulReference(x, w, { m, n, k: 8, layout: "NT" });
  const X = floats(device, x, [m, 8]);
  const B = { of: floats(device, widened(w, n, range), [n, range.cols]), ...range };
  expect(await matmul(X, B, { layout: "NT" }).read()).toBeClose(wanted);
  const out = floats(device, widened(new Float64Array(m * n), m, range), [m, range.cols]);
  matmul(X, floats(device, w, [n, 8]), { layout: "NT", out: { of: out, ...range } });
  expect(await out.read()).toBeClose(widened(wanted, m, range));
});

test.each(["tile-64", "tile-128", "small", "subgroup"] as const)(
  "%s refuses columns that begin inside a vector",
  async (variant) => {
    const device = await testDevice();
    const [X, B] = [
      floats(device, new Float64Array(32), [4, 8]),
      floats(device, new Float64Array(64), [4, 16]),
    ];
    const columns = { of: B, first: 2, count: 8 };
    expect(() => matmul(X, columns, { layout: "NT", variant })).toThrow("cannot compute 4×4×8 here");
    if (variant === "subgroup") return; // it reads the branch one by one
    const extend = { h: columns, e: floats(device, new Float64Array(32), [4, 8]) };
    const W = floats(device, new Float64Array(32), [4, 8]);
    expect(() => matmul(X, W, { layout: "NT", variant, extend })).toThrow("cannot compute 4×4×8 here");
  },
);

test("columns of A for a few rows", async () => {
  const device = await testDevice();
  const A = floats(device, [9, 9, 9, 9, 1, 2, 3, 4], [1, 8]);
  const W = floats(device, [1, 1, 1, 1], [1, 4]);
  expect([...(await matmul({ of: A, first: 4, count: 4 }, W, { layout: "NT" }).read())]).toEqual([10]);
});

test("a padded sum needs room in the row, and nothing but B in what is bound", async () => {
  const device = await testDevice();
  const A = floats(device, new Float64Array(16), [2, 8]);
  const b = fromArray(device, new Uint16Array(12), [3, 4], "bf16");
  const options = { layout: "NN", paddedSum: true } as const;
  expect(() => matmul({ of: A, first: 0, count: 3 }, b, options)).toThrow("B of 24 bytes cannot run over");
  const B = floats(device, new Float64Array(12), [3, 4]);
  expect(() => matmul({ of: A, first: 5, count: 3 }, B, options)).toThrow("columns 5 to 9");
});

test("columns that are not there, and a place of another size, are refused", async () => {
  const device = await testDevice();
  const [A, B] = [floats(device, [1, 2], [1, 2]), floats(device, [1, 2, 3, 4, 5, 6], [2, 3])];
  expect(() => matmul(A, { of: B, first: 2, count: 2 }, { layout: "NN" })).toThrow("columns 2 to 4 of [2,3]");
  const out = { of: B, first: 0, count: 3 };
  expect(() => matmul(A, B, { layout: "NN", out })).toThrow("out has 2×3 for a result of 1×3");
  const place = { of: floats(device, [0, 0, 0, 0], [1, 4]), first: 2, count: 3 };
  expect(() => matmul(A, B, { layout: "NN", out: place })).toThrow("columns 2 to 5 of [1,4]");
});
