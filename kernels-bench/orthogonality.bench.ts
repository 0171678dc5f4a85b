import { fromArray } from "../src/gpu/tensor.ts";
import { zeros } from "../src/kernels/elementwise.ts";
import { orthogonality } from "../src/kernels/orthogonality.ts";
import { orthogonalityReference } from "../test/reference/orthogonality.ts";
import { type BenchCase, repeatedValues, sized } from "./harness.ts";
import { modelsAndTokens } from "./models.ts";

/** The norm of a rank's rows and its gradient: two products and the kernel between them. */
function rows(r: number, columns: number): BenchCase {
  return sized("orthogonality", `r${r} K${columns}`, r * columns, (device) => {
    const x = repeatedValues(r * columns, 1);
    const X = fromArray(device, x, [r, columns]);
    return {
      run() {
        const [total, gradient] = [zeros(device, [1]), zeros(device, [r, columns])];
        orthogonality(X, "rows", { weight: 1, total, gradient });
        return total;
      },
      reference: () => [orthogonalityReference(x, r, "rows")],
      flops: 4 * r * r * columns,
      bytes: 12 * r * columns,
    };
  });
}

const sizes = new Set(modelsAndTokens().map(({ model }) => model.hidden));

export const cases: BenchCase[] = [...sizes].map((size) => rows(12, size));
