import type { Device } from "../src/gpu/device.ts";
import { type BenchCase, type Prepared, sized } from "./harness.ts";
import { prepareLoraStep } from "./lora-step.ts";
import { MODELS, type ModelSize, SMALL, TOKENS, TOY } from "./models.ts";
import { embeddingUnfit } from "./random-model.ts";

const RANK = 8;

/** In and out of each linear layer of a block. */
function linearsOf({ hidden, intermediate, heads, kvHeads, headDim }: ModelSize): [number, number][] {
  const [queries, keys] = [heads * headDim, kvHeads * headDim];
  const mlp: [number, number][] = [
    [hidden, intermediate],
    [hidden, intermediate],
    [intermediate, hidden],
  ];
  return [[hidden, queries], [hidden, keys], [hidden, keys], [queries, hidden], ...mlp];
}

/**
 * Multiplications and additions that a step needs: 4 a frozen weight and token (forward and input gradient), 6 an
 * adapter's, and 7 T² / 2 · 2 a query column of causal attention; the first layer's input needs no gradient.
 */
export function stepFlops(size: ModelSize, tokens: number): number {
  const { layers, hidden, heads, headDim, vocab } = size;
  const linears = linearsOf(size);
  const frozen = linears.reduce((sum, [a, b]) => sum + a * b, 0);
  const adapters = linears.reduce((sum, [a, b]) => sum + RANK * (a + b), 0);
  const unused = linears.slice(0, 3).reduce((sum, [a, b]) => sum + a * b + RANK * a, 0);
  const attention = 7 * tokens ** 2 * heads * headDim;
  return (
    tokens * (layers * (4 * frozen + 6 * adapters) - 2 * unused) +
    4 * vocab * hidden * (tokens - 1) +
    layers * attention
  );
}

/** A LoRA step of a random model, timed on the wall. */
function loraStep(size: ModelSize, tokens: number): BenchCase {
  const flops = stepFlops(size, tokens);
  const setup = (device: Device): Prepared => ({
    ...prepareLoraStep(device, size, tokens, RANK),
    reference: () => [(tokens - 1) * Math.log(size.vocab)],
    tolerance: 0.01,
    flops,
    clock: "wall",
  });
  return sized("training-step LoRA", `${size.name} T${tokens} r${RANK}`, flops, setup, (device) =>
    embeddingUnfit(size, device),
  );
}

export const cases: BenchCase[] = [
  loraStep(TOY, 128),
  loraStep(SMALL, 128),
  ...MODELS.flatMap((model) => [...TOKENS, 4096].map((tokens) => loraStep(model, tokens))),
];
