import type { Random } from "../../src/util/random.ts";
import { COLOURS, DEEDS, NAMES, PLACES, SURFACES, THINGS, type Thing } from "./lexicon.ts";

/** Who did something with how many of which things, and where. */
export interface Scene {
  readonly who: string;
  /** 2…9. */
  readonly count: number;
  readonly colour: string;
  readonly thing: Thing;
  readonly place: string;
  readonly surface: string;
}

/** Draws a scene. */
export function drawScene(random: Random): Scene {
  return {
    who: random.pick(NAMES),
    count: 2 + random.integer(8),
    colour: random.pick(COLOURS),
    thing: random.pick(THINGS),
    place: random.pick(PLACES),
    surface: random.pick(SURFACES),
  };
}

/** "red cups". */
export function itemOf({ colour, thing }: Scene): string {
  return `${colour} ${thing.many}`;
}

/** "3 red cups", "1 red cup". */
export function amountOf(count: number, { colour, thing }: Scene): string {
  return `${count} ${colour} ${count === 1 ? thing.one : thing.many}`;
}

/** Says a scene in one sentence. Each way names the person, the number, the things and the place. */
export function sayScene(scene: Scene, random: Random): string {
  const { who, count, place, surface } = scene;
  const things = amountOf(count, scene);
  const deed = random.pick(DEEDS);
  return random.pick([
    `${who} put ${things} on the ${surface} in the ${place}.`,
    `${who} ${deed} ${things} in the ${place}.`,
    `In the ${place}, ${who} ${deed} ${things}.`,
    `${who} carried ${things} to the ${place}.`,
  ]);
}
