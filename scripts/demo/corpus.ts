import { createRandom, type Random } from "../../src/util/random.ts";
import { COLOURS, NAMES, NUMBERS, PLACES, THINGS } from "./lexicon.ts";
import { amountOf, drawScene, itemOf, type Scene, sayScene } from "./sentences.ts";

/**
 * Text for training the demo's base model: tiny stories about people, things and places, with some talk,
 * some facts and some records. Stories come back to what they named before, so that the model learns to copy.
 * There are records in JSON and there are sentences, but never a record of what a sentence says:
 * that is the skill which the demo teaches later.
 */
export function makeCorpus({ seed, documents }: { seed: number; documents: number }): string[] {
  const random = createRandom(seed).fork("corpus");
  return Array.from({ length: documents }, (_, i) => {
    const simple = random.uniform() < 1 - i / (RAMP * documents);
    return simple ? random.pick([chant, glance, glance, glance])(random) : makeDocument(random);
  });
}

/** Over this part of the documents the share of the simplest ones falls from all to none. */
const RAMP = 0.5;

type Writer = (random: Random) => string;

/** What kinds of documents there are, and in which proportion. */
const KINDS: readonly (readonly [weight: number, write: Writer])[] = [
  [27, story],
  [30, questions],
  [5, talk],
  [8, echo],
  [5, chant],
  [10, glance],
  [5, facts],
  [10, records],
];
const TOTAL = KINDS.reduce((sum, [weight]) => sum + weight, 0);

function makeDocument(random: Random): string {
  let left = random.integer(TOTAL);
  for (const [weight, write] of KINDS) {
    if (left < weight) return write(random);
    left -= weight;
  }
  throw new Error("unreachable: the weights sum to TOTAL");
}

function otherThan<T>(items: readonly T[], taken: T, random: Random): T {
  let item = random.pick(items);
  while (item === taken) item = random.pick(items);
  return item;
}

function story(random: Random): string {
  const scene = drawScene(random);
  const friend = otherThan(NAMES, scene.who, random);
  const sentences = [sayScene(scene, random)];
  const more = 1 + random.integer(3);
  for (let i = 0; i < more; i++) sentences.push(continueStory(scene, friend, random));
  if (random.integer(3) === 0) sentences.push(endStory(scene, friend, random));
  return sentences.join(" ");
}

function continueStory(scene: Scene, friend: string, random: Random): string {
  const { who, count, place } = scene;
  const item = itemOf(scene);
  const taken = 1 + random.integer(count - 1);
  return random.pick([
    `Then ${friend} came to the ${place} and took ${NUMBERS[taken]} of the ${item}.`,
    `Later ${friend} asked ${who} who left the ${item} in the ${place}.`,
    `${friend} looked at the ${item} and was happy.`,
    `${who} gave ${amountOf(taken, scene)} to ${friend}.`,
    `After that, ${amountOf(count - taken, scene)} ${count - taken === 1 ? "was" : "were"} still in the ${place}.`,
    `The ${item} were old, but ${who} liked them.`,
    `${friend} had ${amountOf(count, scene)} too.`,
    `${who} and ${friend} went to the ${place} to count the ${item}.`,
    `The ${place} is a good place for ${item}.`,
    `${who} told ${friend} about the ${item}.`,
  ]);
}

function endStory({ who, place }: Scene, friend: string, random: Random): string {
  return random.pick([
    `Then ${who} and ${friend} went home.`,
    `${friend} said thank you to ${who}.`,
    `It was a good day in the ${place}.`,
    `${who} was tired and went to sleep.`,
    "Everyone was happy.",
  ]);
}

function talk(random: Random): string {
  const scene = drawScene(random);
  const { who, count, place } = scene;
  const item = itemOf(scene);
  const friend = otherThan(NAMES, who, random);
  return random.pick([
    `"Where are the ${item}?" asked ${who}. "The ${item} are in the ${place}," said ${friend}.`,
    `"Who has my ${item}?" asked ${who}. "I have ${NUMBERS[count]} of them," said ${friend}.`,
    `"How many ${item} are in the ${place}?" asked ${who}. "There are ${count}," said ${friend}.`,
    `"Come to the ${place}," said ${who}. "Is ${friend} in the ${place}?" asked ${random.pick(NAMES)}.`,
    `${friend} said "${item}" and ${who} said "${item}" too.`,
  ]);
}

/** One word, or two, again and again: the first thing to learn is that what was said can be said again. */
function chant(random: Random): string {
  const words = Array.from({ length: 1 + random.integer(2) }, () => anyWord(random)).join(" ");
  return `${Array.from({ length: 2 + random.integer(2) }, () => words).join(", ")}.`;
}

/** A scene in a few words, and one question about it. */
function glance(random: Random): string {
  const scene = drawScene(random);
  const { who, count, place } = scene;
  const things = amountOf(count, scene);
  return random.pick([
    `${who} had ${things}. Who? ${who}.`,
    `${who} had ${things}. What? ${itemOf(scene)}.`,
    `${who} had ${things}. How many? ${count}.`,
    `${things}. How many? ${count}.`,
    `${things}. What? ${itemOf(scene)}.`,
    `${who} was in the ${place} with ${things}. What? ${itemOf(scene)}.`,
    `${who} was in the ${place}. Where? ${place}.`,
    `In the ${place}, ${who} had ${things}. Who? ${who}.`,
  ]);
}

/** Word games: somebody says some words and somebody says them again. */
function echo(random: Random): string {
  const who = random.pick(NAMES);
  const friend = otherThan(NAMES, who, random);
  const words = Array.from({ length: 2 + random.integer(4) }, () => anyWord(random)).join(" ");
  return random.pick([
    `${who} said: ${words}. ${friend} said: ${words}.`,
    `"${words}," said ${who}. "${words}," said ${friend}.`,
  ]);
}

/** A sentence, and short questions about it. */
function questions(random: Random): string {
  const scene = drawScene(random);
  const { who, count, place } = scene;
  const item = itemOf(scene);
  const answers = [`Who? ${who}.`, `How many? ${count}.`, `What? ${item}.`, `Where? ${place}.`];
  return `${sayScene(scene, random)} ${random.shuffle(answers).join(" ")}`;
}

function anyWord(random: Random): string {
  const kinds = [
    NAMES,
    COLOURS,
    PLACES,
    NUMBERS,
    THINGS.map(({ many }) => many),
    THINGS.map(({ one }) => one),
  ];
  return random.pick(random.pick(kinds));
}

function facts(random: Random): string {
  const who = random.pick(NAMES);
  const age = 3 + random.integer(17);
  const n = 2 + random.integer(8);
  return random.pick([
    `${who} is ${age} years old. Next year ${who} will be ${age + 1}.`,
    `The number ${n} is called ${NUMBERS[n]}.`,
    `${capitalise(NUMBERS[n]!)} is ${n}.`,
    `Names: ${shuffled(NAMES, 3 + random.integer(3), random).join(", ")}.`,
    `Places: ${shuffled(PLACES, 3, random).join(", ")}.`,
    `An item in the list: ${random.pick(THINGS).one}.`,
    `Count: ${Array.from({ length: n }, (_, i) => i + 1).join(", ")}.`,
  ]);
}

/** Records about nothing that was said; they show the model what JSON looks like. */
function records(random: Random): string {
  const record = (): string => {
    const colour = random.pick(COLOURS);
    const number = 1 + random.integer(20);
    const name = random.pick(NAMES);
    const one = random.pick(THINGS).one;
    return random.pick([
      `{"name":"${name}","age":${number}}`,
      `{"colour":"${colour}","size":${number}}`,
      `{"tool":"${one}","price":${number},"colour":"${colour}"}`,
      `{"room":"${random.pick(PLACES)}","door":"${colour}"}`,
      `{"year":${number},"name":"${name}","room":"${random.pick(PLACES)}"}`,
    ]);
  };
  const lines = Array.from({ length: 1 + random.integer(3) }, record);
  return `JSON: ${lines.join("\n")}`;
}

function shuffled(items: readonly string[], count: number, random: Random): string[] {
  return random.shuffle([...items]).slice(0, count);
}

function capitalise(word: string): string {
  return word[0]!.toUpperCase() + word.slice(1);
}
