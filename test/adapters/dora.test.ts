// What DoRA computes where it cannot be one product: behind other adapters, with dropout, on quantised weights.
import { describe, expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { doraBehind, doraLayer, doraPlans } from "../../src/adapters/lora/dora.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import * as ops from "../../src/autograd/ops.ts";
import type { Tensor } from "../../src/gpu/tensor.ts";
import { castToFloat } from "../../src/kernels/cast.ts";
import { decodingOf } from "../../src/kernels/formats.ts";
import { Quantiser } from "../../src/kernels/quantise.ts";
import { emptyWeight, type QuantisedWeight, type Weight } from "../../src/kernels/weight.ts";
import type { Linear } from "../../src/nn/linear.ts";
import { randomValues } from "../reference/gradient.ts";
import { rowNormsReference } from "../reference/row-norms.ts";
import { floats, testDevice } from "../support/device.ts";
import { fixturePath, openTestModel } from "../support/fixtures.ts";

const [ROWS, IN, OUT, R] = [3, 64, 20, 2];
const SCALE = 0.7;

function quantised(values: Tensor, format: "int8" | "nf4"): Weight {
  const decoding = decodingOf(format, { block: 64, scales: "f32" });
  const weight = emptyWeight(values.device, [OUT, IN], decoding);
  new Quantiser(weight as QuantisedWeight).add(values, 0);
  return weight;
}

const times = (x: ArrayLike<number>, w: ArrayLike<number>, columns: number) => {
  const [rows, out] = [x.length / columns, w.length / columns];
  return Float64Array.from({ length: rows * out }, (_, i) => {
    let sum = 0;
    for (let k = 0; k < columns; k++)
      sum += x[Math.floor(i / out) * columns + k]! * w[(i % out) * columns + k]!;
    return sum;
  });
};

/** result + (c − 1) ⊙ W x + c ⊙ s B A x, as PEFT has it, with c = m / ‖W + s B A‖. */
function peftDora(
  result: ArrayLike<number>,
  x: ArrayLike<number>,
  { w, A, B, m }: Record<"w" | "A" | "B" | "m", ArrayLike<number>>,
): Float64Array {
  const norms = rowNormsReference(w, { A, B, columns: IN, scale: SCALE });
  const own = times(x, w, IN);
  const update = times(times(x, A, IN), B, R);
  return Float64Array.from(result, (value, i) => {
    const c = m[i % OUT]! / norms[i % OUT]!;
    return value + (c - 1) * own[i]! + c * SCALE * update[i]!;
  });
}

describe.each([
  ["f32", (weight: Tensor): Weight => weight],
  ["int8", (weight: Tensor): Weight => quantised(weight, "int8")],
  ["nf4", (weight: Tensor): Weight => quantised(weight, "nf4")],
])("a weight in %s", (_, stored) => {
  const values = {
    A: randomValues(R * IN, 2),
    B: randomValues(OUT * R, 3),
    m: randomValues(OUT, 4).map((value) => 2 + value),
  };
  const x = randomValues(ROWS * IN, 5);
  const bias = randomValues(OUT, 6);
  const prepare = async () => {
    const device = await testDevice();
    const weight = stored(floats(device, randomValues(OUT * IN, 1), [OUT, IN]));
    const w = await castToFloat(weight).read();
    const plans = doraPlans({ weight, outFeatures: OUT } as Linear);
    const tensors = {
      lora_magnitude_vector: floats(device, values.m, [OUT]),
      weight_squares: plans.weight_squares!.begin!(undefined as never) as Tensor,
    };
    const [A, B] = [floats(device, values.A, [R, IN]), floats(device, values.B, [OUT, R])];
    const pass = { weight, bias: floats(device, bias, [OUT]), A, B, scale: SCALE, tensors };
    return { device, w, plans, pass, X: floats(device, x, [ROWS, IN]) };
  };
  const none = { p: 0, seed: 0 };

  test("magnitudes begin as the norms of its rows", async () => {
    const { w, plans } = await prepare();
    const begun = plans.lora_magnitude_vector!.begin!(undefined as never) as Tensor;
    const update = { A: new Float64Array(IN), B: new Float64Array(OUT), columns: IN, scale: 0 };
    expect(await begun.read()).toBeClose(rowNormsReference(w, update));
  });

  test("in one product, and behind another adapter", async () => {
    const { w, pass, X, device } = await prepare();
    const base = times(x, w, IN).map((value, i) => value + bias[i % OUT]!);
    const wanted = peftDora(base, x, { w, ...values });
    expect(await doraLayer(undefined, X, { ...pass, dropout: none }).read()).toBeClose(wanted, 1e-4);
    const other = floats(device, base, [ROWS, OUT]);
    const behind = doraBehind(undefined, X, other, { ...pass, dropout: none });
    expect(await behind.read()).toBeClose(wanted, 1e-4);
  });

  test("with dropout the layer's own part is computed from what is left of its input, without the bias", async () => {
    const { w, pass, X, device } = await prepare();
    const dropout = { p: 0.5, seed: 9 };
    const dropped = await ops.dropout(undefined, X, dropout).read();
    expect(dropped.some((value) => value === 0)).toBe(true);
    const base = times(x, w, IN).map((value, i) => value + bias[i % OUT]!);
    const y = doraBehind(undefined, X, floats(device, base, [ROWS, OUT]), { ...pass, dropout });
    expect(await y.read()).toBeClose(peftDora(base, dropped, { w, ...values }), 1e-4);
  });
});

test("what DoRA has no meaning with is refused by name", async () => {
  expect(() => lora({ useDora: true, initWeights: "pissa" })).toThrow(
    'initWeights is "pissa", which takes the branch out of the weight',
  );
  const model = await openTestModel(fixturePath("llama-gqa"));
  const adapter = attach(model, lora({ useDora: true, r: 2 }));
  expect(() => adapter.scaled(0.5)).toThrow("LORA has no factor of its update");
});
