import { fromArray } from "../src/gpu/tensor.ts";
import { type Layout, matmul } from "../src/kernels/matmul.ts";
import { randomValues } from "../test/reference/gradient.ts";
import { matmulReference } from "../test/reference/matmul.ts";
import type { BenchCase } from "./harness.ts";

function product(layout: Layout, m: number, n: number, k: number): BenchCase {
  return {
    name: `matmul ${layout} ${m}×${n}×${k}`,
    setup(device) {
      const a = randomValues(m * k, 1);
      const b = randomValues(n * k, 2);
      const A = fromArray(device, Float32Array.from(a), layout === "TN" ? [k, m] : [m, k]);
      const B = fromArray(device, Float32Array.from(b), layout === "NT" ? [n, k] : [k, n]);
      return {
        run: () => matmul(A, B, { layout }),
        reference: () => matmulReference(a, b, { m, n, k, layout }),
        flops: 2 * m * n * k,
      };
    },
  };
}

/** y = x Wᵀ + (x Aᵀ) Bᵀ with bf16 weights: what one adapted linear costs. */
function loraLinear(rows: number, inputs: number, outputs: number, r: number): BenchCase {
  return {
    name: `lora linear ${rows}×${inputs}→${outputs} r ${r}, bf16`,
    setup(device) {
      const [x, w, a, b] = [rows * inputs, outputs * inputs, r * inputs, outputs * r].map((count, i) =>
        randomValues(count, i),
      );
      const bits = Uint16Array.from(new Uint32Array(Float32Array.from(w!).buffer), (word) => word >>> 16);
      const rounded = new Float32Array(Uint32Array.from(bits, (half) => half << 16).buffer);
      const X = fromArray(device, Float32Array.from(x!), [rows, inputs]);
      const W = fromArray(device, bits, [outputs, inputs], "bf16");
      const A = fromArray(device, Float32Array.from(a!), [r, inputs]);
      const B = fromArray(device, Float32Array.from(b!), [outputs, r]);
      return {
        run: () => matmul(X, W, { layout: "NT", extend: { h: matmul(X, A, { layout: "NT" }), e: B } }),
        reference() {
          const inner = matmulReference(x!, a!, { m: rows, n: r, k: inputs, layout: "NT" });
          const branch = matmulReference(inner, b!, { m: rows, n: outputs, k: r, layout: "NT" });
          const main = matmulReference(x!, rounded, { m: rows, n: outputs, k: inputs, layout: "NT" });
          return main.map((value, i) => value + branch[i]!);
        },
        flops: 2 * rows * (inputs * outputs + r * (inputs + outputs)),
      };
    },
  };
}

export const cases: BenchCase[] = [
  product("NT", 128, 576, 576),
  product("NN", 128, 576, 576),
  product("TN", 576, 576, 128),
  product("NT", 512, 512, 512),
  loraLinear(128, 576, 1536, 8),
];
