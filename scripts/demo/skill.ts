import { createRandom, type Random } from "../../src/util/random.ts";
import { drawScene, itemOf, type Scene, sayScene } from "./sentences.ts";

/** A prompt and the completion that the demo's model shall learn to give. */
export interface SkillExample {
  readonly prompt: string;
  readonly completion: string;
}

/** Options of {@link skillExamples}. */
export interface SkillOptions {
  seed: number;
  count: number;
  /** Held-out examples ("test") never share a record with those for training. */
  split: "train" | "test";
}

/** One scene in this many is kept for testing. */
const HELD_OUT = 5;

/**
 * Examples of the skill that the demo teaches: to say as JSON who did something, with how many of what, and where.
 * No two of them have the same prompt.
 */
export function skillExamples({ seed, count, split }: SkillOptions): SkillExample[] {
  const random = createRandom(seed).fork(`skill ${split}`);
  const examples = new Map<string, SkillExample>();
  while (examples.size < count) {
    const example = makeExample(drawScene(random), random);
    if (splitOf(example.completion) === split) examples.set(example.prompt, example);
  }
  return [...examples.values()];
}

function makeExample(scene: Scene, random: Random): SkillExample {
  const { who, count, place } = scene;
  return {
    prompt: `${sayScene(scene, random)}\nJSON: `,
    completion: JSON.stringify({ who, count, item: itemOf(scene), place }),
  };
}

/** Decided by the record alone, whatever the seed: the splits of any two seeds are disjoint. */
function splitOf(completion: string): SkillOptions["split"] {
  return createRandom(0).fork(completion).integer(HELD_OUT) === 0 ? "test" : "train";
}

/** Whether a prediction is the wanted record and nothing else; white space around it does not count. */
export function exactMatch(prediction: string, target: string): boolean {
  return prediction.trim() === target.trim();
}
