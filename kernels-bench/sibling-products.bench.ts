import { fromArray } from "../src/gpu/tensor.ts";
import { matmul } from "../src/kernels/matmul.ts";
import { siblingInputGradient, siblingProducts } from "../src/kernels/sibling-products.ts";
import {
  siblingInputGradientReference,
  siblingProductsReference,
} from "../test/reference/sibling-products.ts";
import { type BenchCase, repeatedHalves, repeatedValues, sized } from "./harness.ts";
import { SMOLLM2, TOY } from "./models.ts";

/** Two layers of one input with bf16 weights, as gate and up are: forward, and the gradient of the input. */
function pair(rows: number, inputs: number, out: number): BenchCase[] {
  const flops = 4 * rows * inputs * out;
  const size = `T${rows} K${inputs} N2×${out}`;
  const bytes = 4 * rows * (inputs + 2 * out) + 4 * inputs * out;
  const sizes = { rows, inputs };
  const weights = () => [2, 3].map((seed) => repeatedHalves(inputs * out, seed, "bf16"));
  const forward = sized("sibling-products", size, flops, (device) => {
    const x = repeatedValues(rows * inputs, 1);
    const both = weights();
    const X = fromArray(device, x, [rows, inputs]);
    const layers = both.map(({ codes }) => ({
      weight: fromArray(device, codes, [out, inputs], "bf16"),
      first: 0,
    }));
    return {
      run: () =>
        siblingProducts(X, layers) ?? layers.map(({ weight }) => matmul(X, weight, { layout: "NT" })),
      reference: () =>
        siblingProductsReference(
          x,
          both.map(({ values }) => ({ n: out, weight: values() })),
          sizes,
        ),
      flops,
      bytes,
    };
  });
  const backward = sized("sibling-products dx", size, flops, (device) => {
    const dys = [4, 5].map((seed) => repeatedValues(rows * out, seed));
    const both = weights();
    const layers = both.map(({ codes }, i) => ({
      weight: fromArray(device, codes, [out, inputs], "bf16"),
      dy: fromArray(device, dys[i] ?? new Float32Array(), [rows, out]),
    }));
    const apart = () => {
      const [one, two] = layers as [(typeof layers)[0], (typeof layers)[0]];
      return matmul(two.dy, two.weight, {
        layout: "NN",
        into: matmul(one.dy, one.weight, { layout: "NN" }),
      });
    };
    return {
      run: () => siblingInputGradient(layers) ?? apart(),
      reference: () =>
        siblingInputGradientReference(
          both.map(({ values }, i) => ({ n: out, weight: values(), dy: dys[i] ?? [] })),
          undefined,
          sizes,
        ),
      flops,
      bytes,
    };
  });
  return [forward, backward];
}

export const cases: BenchCase[] = [TOY, SMOLLM2].flatMap(({ hidden, intermediate }) =>
  pair(64, hidden, intermediate),
);
