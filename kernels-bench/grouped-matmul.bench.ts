import type { Device } from "../src/gpu/device.ts";
import { fromArray } from "../src/gpu/tensor.ts";
import { groupChoices, groupedMatmul } from "../src/kernels/grouped-matmul.ts";
import { matmul } from "../src/kernels/matmul.ts";
import { groupedReference } from "../test/reference/grouped-matmul.ts";
import { EXPERTS, type ExpertsSize, expertsLabel, randomChoices } from "./experts.ts";
import { type BenchCase, repeatedHalves, repeatedValues, sized, spread, unbindable } from "./harness.ts";

/** Rows of the result that are computed in f64, and columns of each. */
const [ROWS, COLUMNS] = [8, 32];

type Layout = "NT" | "NN";

const workOf = ({ tokens, chosen, hidden, intermediate }: ExpertsSize) =>
  4 * tokens * chosen * hidden * intermediate;
/** Gates and ups together. */
const columnsOf = ({ intermediate }: ExpertsSize) => 2 * intermediate;

/** The first product of all experts and, for the backward pass, the one with the transpose of the same weight. */
function grouped(size: ExpertsSize, layout: Layout): BenchCase {
  const { tokens, hidden, experts, chosen } = size;
  const [n, k] = layout === "NT" ? [columnsOf(size), hidden] : [hidden, columnsOf(size)];
  const rows = layout === "NT" ? tokens : tokens * chosen;
  const setup = (device: Device) => {
    const a = repeatedValues(rows * k, 1);
    const weight = repeatedHalves(experts * n * k, 2, "bf16");
    const choices = randomChoices(size);
    const A = fromArray(device, a, [rows, k]);
    const B = fromArray(device, weight.codes, layout === "NT" ? [experts * n, k] : [experts * k, n], "bf16");
    const routes = fromArray(device, choices, [tokens, chosen]);
    const grouping = groupChoices(routes, experts, layout === "NN" || undefined);
    return {
      run: () => groupedMatmul(A, B, grouping, { layout }),
      reference: () => {
        const [at, columns] = [spread(choices.length, ROWS), spread(n, COLUMNS)];
        const all = weight.values();
        const values = at.flatMap((row) => {
          const source = layout === "NT" ? Math.floor(row / chosen) : row;
          const expert = choices[row] as number;
          const own = all.subarray(expert * n * k, (expert + 1) * n * k);
          const problem = { n, k, per: 1, layout, choices: [0] };
          const c = groupedReference(a.subarray(source * k, (source + 1) * k), own, problem);
          return columns.map((column) => c[column] as number);
        });
        return { at: at.flatMap((row) => columns.map((column) => row * n + column)), values };
      },
      flops: workOf(size),
      bytes: 4 * (rows * k + choices.length * n) + 2 * Math.min(experts, choices.length) * n * k,
    };
  };
  const name = layout === "NT" ? "grouped-matmul A·Bᵀ bf16" : "grouped-matmul A·B bf16";
  return sized(name, expertsLabel(size), workOf(size), setup, (device) =>
    unbindable(device, 4 * size.tokens * size.chosen * n),
  );
}

/** One matrix for all: as many multiply-adds, and what they cost where no row chooses. */
function dense(size: ExpertsSize): BenchCase {
  const { tokens, hidden: k, chosen } = size;
  const [m, n] = [tokens * chosen, columnsOf(size)];
  return sized("grouped-matmul beside: dense A·Bᵀ bf16", expertsLabel(size), workOf(size), (device) => {
    const a = repeatedValues(m * k, 1);
    const weight = repeatedHalves(n * k, 2, "bf16");
    const A = fromArray(device, a, [m, k]);
    const B = fromArray(device, weight.codes, [n, k], "bf16");
    return {
      run: () => matmul(A, B, { layout: "NT" }),
      reference: () => {
        const at = spread(m, ROWS);
        const rows = at.flatMap((row) => [...a.subarray(row * k, (row + 1) * k)]);
        const choices = at.map(() => 0);
        const values = groupedReference(rows, weight.values(), { n, k, per: 1, layout: "NT", choices });
        return { at: at.flatMap((row) => Array.from({ length: n }, (_, i) => row * n + i)), values };
      },
      flops: workOf(size),
      bytes: 4 * (m * k + m * n) + 2 * n * k,
    };
  });
}

export const cases: BenchCase[] = [
  ...EXPERTS.flatMap((size) => [grouped(size, "NT"), dense(size)]),
  ...EXPERTS.filter(({ tokens }) => tokens > 1).map((size) => grouped(size, "NN")),
];
