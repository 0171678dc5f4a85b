import type { NormalizerJson } from "../schema/normalizers.ts";
import { unsupported } from "./component.ts";
import { makeNormalizer } from "./normalizers.ts";
import { readPattern } from "./pattern.ts";
import type { Span } from "./spans.ts";

/** A normalised text. */
interface PlacedText {
  readonly text: string;
  /** Which part of the text as it was each UTF-16 unit stands for; absent where nothing is changed. */
  readonly places?: readonly Span[];
}

/** Says which part of a text as it was stands behind the UTF-16 units [start, end) of the normalised one. */
export type OriginalPlace = (start: number, end: number) => Span;

/** A normalizer that is no sequence of others. */
interface Step {
  readonly json: NormalizerJson;
  readonly normalize: (text: string) => string;
}

/**
 * Makes a function that says where in a text its normalised form comes from.
 * @param json the normalizer, null where there is none
 * @throws LoraError (the function) where parts are changed together, so that nobody can say which became which
 */
export function placeTracer(json: NormalizerJson | null): (text: string) => OriginalPlace {
  let made: readonly Step[] | undefined; // few ask
  return (text) => {
    made ??= stepsOf(json);
    const { places } = made.reduce(applyStep, { text });
    if (places === undefined) return (start, end) => [start, end];
    return (start, end) => placeOf(places, start, end, text.length);
  };
}

function stepsOf(json: NormalizerJson | null): readonly Step[] {
  if (json === null) return [];
  if (json.type === "Sequence") return json.normalizers.flatMap(stepsOf);
  const { normalize } = makeNormalizer(json, "normalizer");
  return [{ json, normalize }];
}

function placeOf(places: readonly Span[], start: number, end: number, length: number): Span {
  const from = places[start]?.[0] ?? length;
  return [from, end === start ? from : (places[end - 1]?.[1] ?? length)];
}

function applyStep(before: PlacedText, step: Step): PlacedText {
  const { text } = before;
  const changed = step.normalize(text);
  if (changed === text) return before;
  const parts = partsOf(step, text);
  if (parts.map(({ by }) => by).join("") !== changed) {
    unsupported("normalizer", `knowing which part of a text became which behind a ${step.json.type}`);
  }
  const places = before.places ?? Array.from(text.split(""), (_, i): Span => [i, i + 1]);
  return { text: changed, places: parts.flatMap(({ span, by }) => placesOf(span, by, text, places)) };
}

/** A part of a text and what it becomes. */
interface Part {
  readonly span: Span;
  readonly by: string;
}

function placesOf(span: Span, by: string, text: string, places: readonly Span[]): Span[] {
  const [start, end] = span;
  if (by === text.slice(start, end)) return places.slice(start, end);
  const [from, to] = placeOf(places, start, end, places.at(-1)?.[1] ?? 0);
  return Array.from(by.split(""), (): Span => [from, to]);
}

/** A text in parts that are normalised each by itself. */
function partsOf({ json, normalize }: Step, text: string): Part[] {
  if (json.type === "Prepend") {
    return [
      { span: [0, 0], by: json.prepend },
      { span: [0, text.length], by: text },
    ];
  }
  if (json.type === "Replace")
    return replacedParts(text, readPattern(json.pattern, "normalizer")(text), json.content);
  // What combines, such as a letter and its accents, is one cluster.
  return Array.from(new Intl.Segmenter().segment(text), ({ segment, index }) => ({
    span: [index, index + segment.length],
    by: normalize(segment),
  }));
}

function replacedParts(text: string, found: readonly Span[], content: string): Part[] {
  const parts: Part[] = [];
  let at = 0;
  for (const span of found) {
    parts.push({ span: [at, span[0]], by: text.slice(at, span[0]) }, { span, by: content });
    at = span[1];
  }
  return [...parts, { span: [at, text.length], by: text.slice(at) }];
}
