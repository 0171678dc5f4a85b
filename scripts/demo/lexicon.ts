/** The words the demo's texts are made of. Few words and many combinations: a small model learns them as wholes. */

// biome-ignore format: a table
/** Common given names. */
export const NAMES = [
  "Anna", "Ben", "Clara", "David", "Emma", "Felix", "Grace", "Henry", "Ivan", "Julia", "Karl", "Laura",
  "Mara", "Nina", "Oscar", "Paula", "Robert", "Sara", "Tom", "Victor",
] as const;

/** A thing in singular and plural. */
export interface Thing {
  readonly one: string;
  readonly many: string;
}

const thing = (one: string, many = `${one}s`): Thing => ({ one, many });

/** Things that can be carried. */
export const THINGS: readonly Thing[] = [
  ...["cup", "ball", "book", "apple", "shoe", "hat", "stone", "lamp", "pencil"].map((word) => thing(word)),
  ...["basket", "spoon", "flower", "coin", "candle", "bottle", "key"].map((word) => thing(word)),
  ...["plate", "chair"].map((word) => thing(word)),
  thing("box", "boxes"),
  thing("brush", "brushes"),
];

export const COLOURS = ["red", "blue", "green", "yellow", "black", "white", "brown", "pink"] as const;

// biome-ignore format: a table
export const PLACES = [
  "kitchen", "garden", "barn", "attic", "cellar", "hall", "library", "school", "market", "bedroom", "office", "shop",
] as const;

export const SURFACES = ["shelf", "table", "floor", "bench", "window", "stairs"] as const;

/** Past tenses that take a thing: "Tom found two red cups". */
export const DEEDS = ["found", "saw", "counted", "left", "hid", "washed", "painted", "wanted"] as const;
