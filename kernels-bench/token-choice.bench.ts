import { fromArray } from "../src/gpu/tensor.ts";
import { choose, packChoices } from "../src/kernels/token-choice.ts";
import { choiceReference } from "../test/reference/token-choice.ts";
import { type BenchCase, repeatedValues, sized } from "./harness.ts";

/** As chat models are sampled: of the most likely ones, with a penalty. */
function drawn(vocab: number): BenchCase {
  const choice = { temperature: 0.7, topK: 50, topP: 0.9, minP: 0.02, repetitionPenalty: 1.1, uniform: 0.4 };
  return sized("token choice", `T1 V${vocab}`, vocab, (device) => {
    const x = repeatedValues(vocab, 1, 3);
    const X = fromArray(device, x, [1, vocab]);
    const choices = fromArray(device, packChoices([choice]), [1, 6]);
    const words = Math.ceil(vocab / 32);
    const seen = fromArray(device, new Uint32Array(words), [1, words]);
    return {
      run() {
        seen.write(new Uint32Array(words)); // so that each run chooses the same
        return choose(X, choices, seen);
      },
      reference: () => [choiceReference([...x], choice).index],
      bytes: 4 * vocab,
    };
  });
}

export const cases: BenchCase[] = [drawn(32_000), drawn(49_152), drawn(151_936)];
