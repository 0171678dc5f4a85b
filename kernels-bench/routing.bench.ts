import { fromArray } from "../src/gpu/tensor.ts";
import { type RoutingOptions, route, routeBackward, sortChoices } from "../src/kernels/routing.ts";
import { centralDifferences } from "../test/reference/gradient.ts";
import { routingReference, sortReference } from "../test/reference/routing.ts";
import { EXPERTS, type ExpertsSize, expertsLabel, randomChoices } from "./experts.ts";
import { type BenchCase, repeatedValues, sized } from "./harness.ts";

const SHARES: RoutingOptions["shares"] = "chosen";

function choose(size: ExpertsSize): BenchCase {
  const { tokens, experts, chosen } = size;
  return sized("routing choose", expertsLabel(size), tokens * experts, (device) => {
    const logits = repeatedValues(tokens * experts, 1);
    const given = fromArray(device, logits, [tokens, experts]);
    return {
      run: () => route(given, { chosen, shares: SHARES }).weights,
      reference: () => routingReference(logits, { tokens, experts, chosen, shares: SHARES }).weights,
      bytes: 4 * tokens * (experts + 2 * chosen),
    };
  });
}

function chooseBackward(size: ExpertsSize): BenchCase {
  const { tokens, experts, chosen } = size;
  return sized("routing choose backward", expertsLabel(size), tokens * experts, (device) => {
    const logits = repeatedValues(tokens * experts, 1);
    const dweights = repeatedValues(tokens * chosen, 2);
    const given = fromArray(device, logits, [tokens, experts]);
    const saved = { logits: given, chosen, shares: SHARES, ...route(given, { chosen, shares: SHARES }) };
    const dW = fromArray(device, dweights, [tokens, chosen]);
    return {
      run: () => routeBackward(dW, saved),
      reference: () => {
        // Tokens have nothing to do with each other: each by itself is quicker.
        const values = Array.from({ length: tokens }, (_, t) =>
          centralDifferences(
            (x) => routingReference(x, { tokens: 1, experts, chosen, shares: SHARES }).weights,
            logits.subarray(t * experts, (t + 1) * experts),
            dweights.subarray(t * chosen, (t + 1) * chosen),
          ),
        );
        return Float64Array.from(values.flatMap((row) => [...row]));
      },
      bytes: 4 * tokens * (2 * experts + 3 * chosen),
    };
  });
}

function sort(size: ExpertsSize): BenchCase {
  const { tokens, experts, chosen } = size;
  return sized("routing sort", expertsLabel(size), tokens * chosen * experts, (device) => {
    const choices = randomChoices(size);
    const given = fromArray(device, choices, [tokens, chosen]);
    return {
      run: () => sortChoices(given, experts),
      reference: () => sortReference(choices, experts),
      bytes: 8 * tokens * chosen,
    };
  });
}

export const cases: BenchCase[] = EXPERTS.flatMap((size) => [choose(size), chooseBackward(size), sort(size)]);
