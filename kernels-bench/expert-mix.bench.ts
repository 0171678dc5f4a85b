import { fromArray } from "../src/gpu/tensor.ts";
import { mixExperts, mixExpertsBackward, mixWeightsBackward, sumChoices } from "../src/kernels/expert-mix.ts";
import { expertMixReference } from "../test/reference/expert-mix.ts";
import { dot } from "../test/reference/gradient.ts";
import { EXPERTS, type ExpertsSize, expertsLabel } from "./experts.ts";
import { type BenchCase, type Prepared, repeatedValues, sized } from "./harness.ts";

type Work = (inputs: ReturnType<typeof inputsOf>) => Prepared["reference"];

function inputsOf(size: ExpertsSize) {
  const { tokens, chosen, hidden } = size;
  return {
    ...{ tokens, chosen, columns: hidden },
    x: repeatedValues(tokens * chosen * hidden, 1),
    weights: repeatedValues(tokens * chosen, 2),
    dy: repeatedValues(tokens * hidden, 3),
  };
}

/** The mean over rows is linear: its gradients are products, not differences. */
const REFERENCES: Readonly<Record<"forward" | "sum" | "backward" | "weights", Work>> = {
  forward: (all) => () => expertMixReference(all.x, all.weights, all),
  sum: (all) => () =>
    expertMixReference(
      all.x,
      all.weights.map(() => 1),
      all,
    ),
  backward:
    ({ weights, dy, chosen, columns }) =>
    () =>
      Float64Array.from({ length: weights.length * columns }, (_, i) => {
        const choice = Math.floor(i / columns);
        return (
          (weights[choice] as number) * (dy[Math.floor(choice / chosen) * columns + (i % columns)] as number)
        );
      }),
  weights:
    ({ x, weights, dy, chosen, columns }) =>
    () =>
      Float64Array.from(weights, (_, choice) => {
        const token = Math.floor(choice / chosen);
        const row = x.subarray(choice * columns, (choice + 1) * columns);
        return dot(row, dy.subarray(token * columns, (token + 1) * columns));
      }),
};

function mix(size: ExpertsSize, work: keyof typeof REFERENCES): BenchCase {
  const inputs = inputsOf(size);
  const { tokens, chosen, columns } = inputs;
  const count = tokens * chosen * columns;
  return sized(`expert-mix ${work}`, expertsLabel(size), count, (device) => {
    const x = fromArray(device, inputs.x, [tokens * chosen, columns]);
    const weights = fromArray(device, inputs.weights, [tokens, chosen]);
    const dy = fromArray(device, inputs.dy, [tokens, columns]);
    const runs = {
      forward: () => mixExperts(x, weights),
      sum: () => sumChoices(x, chosen),
      backward: () => mixExpertsBackward(dy, weights),
      weights: () => mixWeightsBackward(dy, x),
    };
    return { run: runs[work], reference: REFERENCES[work](inputs), bytes: 4 * (count + tokens * columns) };
  });
}

export const cases: BenchCase[] = EXPERTS.flatMap((size) =>
  (["forward", "sum", "backward", "weights"] as const).map((work) => mix(size, work)),
);
