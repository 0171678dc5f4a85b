import { createRandom, type Random } from "../../src/util/random.ts";
import { NAMES, PLACES, THINGS } from "./lexicon.ts";
import { drawScene, itemOf, type Scene, sayScene } from "./sentences.ts";

/**
 * Text for training the demo's base model: sentences about people, things and places, each followed by a note of what
 * it says or by a little story, and now and then a line of unrelated JSON.
 * There is JSON and there are sentences, but never JSON of what a sentence says: that is the skill which the demo
 * teaches later.
 */
export function makeCorpus({ seed, documents }: { seed: number; documents: number }): string[] {
  const random = createRandom(seed).fork("corpus");
  return Array.from({ length: documents }, () => makeDocument(random));
}

function makeDocument(random: Random): string {
  const draw = random.integer(20);
  if (draw < 15) return noted(random);
  return draw < 18 ? story(random) : record(random);
}

/**
 * A sentence, and what it says in some order. Half of the notes quote the facts: a word after a space and a word
 * after a quotation mark are different tokens, and both are to be copied from the sentence.
 */
function noted(random: Random): string {
  const scene = drawScene(random);
  const { who, count, place } = scene;
  const facts = { who, count, item: itemOf(scene), place };
  const quote = random.pick(["", '"']);
  const parts = random
    .shuffle(Object.entries(facts))
    .map(([key, value]) => `${key} ${quote}${value}${quote}`);
  return `${sayScene(scene, random)}\nNote: ${parts.join(", ")}.`;
}

function story(random: Random): string {
  const scene = drawScene(random);
  const friend = random.pick(NAMES.filter((name) => name !== scene.who));
  return `${sayScene(scene, random)} ${middle(scene, friend, random)} ${end(scene, friend, random)}`;
}

function middle(scene: Scene, friend: string, random: Random): string {
  const { who, count, place } = scene;
  const item = itemOf(scene);
  return random.pick([
    `Then ${friend} came to the ${place} and took ${1 + random.integer(count)} of the ${item}.`,
    `${friend} looked at the ${item} and was happy.`,
    `The ${item} were old, but ${who} liked them.`,
    `${who} told ${friend} about the ${item}.`,
  ]);
}

function end({ who, place }: Scene, friend: string, random: Random): string {
  return random.pick([
    `Then ${who} and ${friend} went home.`,
    `It was a good day in the ${place}.`,
    `${who} was tired and went to sleep.`,
    "Everyone was happy.",
  ]);
}

/** JSON about nothing that was said; it shows the model how JSON is written. */
function record(random: Random): string {
  const number = 1 + random.integer(20);
  return random.pick([
    `JSON: {"who":"${random.pick(NAMES)}","age":${number}}`,
    `JSON: {"item":"${random.pick(THINGS).one}","price":${number}}`,
    `JSON: {"place":"${random.pick(PLACES)}","count":${number}}`,
  ]);
}
