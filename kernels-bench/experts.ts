// Layers of experts that their kernels are measured with.
import { createRandom } from "../src/util/random.ts";

/** Sizes of a layer of experts, and how many tokens go through it. */
export interface ExpertsSize {
  readonly tokens: number;
  readonly hidden: number;
  readonly intermediate: number;
  readonly experts: number;
  /** Experts that a token goes through. */
  readonly chosen: number;
}

/** Small enough for the tests; one of a small model's; the widths of OLMoE with an eighth of its experts; a step of decoding. */
export const EXPERTS: readonly ExpertsSize[] = [
  { tokens: 32, hidden: 64, intermediate: 64, experts: 4, chosen: 2 },
  { tokens: 128, hidden: 576, intermediate: 768, experts: 8, chosen: 2 },
  { tokens: 512, hidden: 2048, intermediate: 1024, experts: 8, chosen: 2 },
  { tokens: 1, hidden: 2048, intermediate: 1024, experts: 8, chosen: 2 },
];

export const expertsLabel = ({ tokens, hidden, intermediate, experts, chosen }: ExpertsSize) =>
  `T${tokens} K${hidden} N${intermediate} E${experts}/${chosen}`;

/** Which experts tokens choose: `chosen` different ones each. */
export function randomChoices({ tokens, experts, chosen }: ExpertsSize): Uint32Array<ArrayBuffer> {
  const random = createRandom(1);
  const choices = Array.from({ length: tokens }, () => {
    const all = Array.from({ length: experts }, (_, e) => ({ e, key: random.uniform() }));
    return all
      .sort((a, b) => a.key - b.key)
      .slice(0, chosen)
      .map(({ e }) => e);
  });
  return Uint32Array.from(choices.flat());
}
