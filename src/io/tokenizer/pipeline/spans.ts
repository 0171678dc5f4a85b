import type { Span } from "../../../util/regexp/finder.ts";
import { checkGrowth } from "./growth.ts";

export type { Span };

/** Finds the places of a text that match: in order, apart from each other. */
export type Pattern = (text: string) => Span[];

/** What becomes of the matches of a `Split` (`SplitDelimiterBehavior` of the Rust library). */
export type Behavior = "Removed" | "Isolated" | "MergedWithPrevious" | "MergedWithNext" | "Contiguous";

/** A pattern that an expression finds; it must have the flag `g`, and `v` or `u`. */
export function expression(regexp: RegExp): Pattern {
  return spansOf(function* (text) {
    for (const match of text.matchAll(regexp)) yield [match.index, match.index + match[0].length];
  });
}

/** The matches that count of all that are found: as the Rust binding no empty one right behind another. */
export function spansOf(find: (text: string) => Iterable<Span>): Pattern {
  return (text) => {
    const found: Span[] = [];
    let last = -1;
    for (const [start, end] of find(text)) {
      if (end > start || end !== last) found.push([start, end]);
      last = end;
    }
    return found;
  };
}

/** The spans of a text that are left when it is split at the matches of a pattern. */
export function splitSpans(text: string, pattern: Pattern, behavior: Behavior, invert = false): Span[] {
  const parts = segments(text, pattern);
  if (invert) for (const part of parts) part.matched = !part.matched;
  switch (behavior) {
    case "Removed":
      return parts.filter(({ matched }) => !matched).map(span);
    case "Isolated":
      return parts.map(span);
    case "Contiguous":
      return joined(parts, (part, before) => part.matched === before.matched);
    case "MergedWithPrevious":
      return joined(parts, (part, before) => part.matched && !before.matched);
    case "MergedWithNext":
      return joined(parts, (part, before) => before.matched && !part.matched);
  }
}

interface Segment {
  start: number;
  end: number;
  matched: boolean;
}

const span = ({ start, end }: Segment): Span => [start, end];

/** The whole text as matches and what stands between them. */
function segments(text: string, pattern: Pattern): Segment[] {
  const parts: Segment[] = [];
  let position = 0;
  for (const [start, end] of pattern(text)) {
    if (position < start) parts.push({ start: position, end: start, matched: false });
    parts.push({ start, end, matched: true });
    position = end;
  }
  if (position < text.length) parts.push({ start: position, end: text.length, matched: false });
  return parts;
}

/** Neighbours made one where `joins` says so; `before` is the segment before, not all that it was joined to. */
function joined(parts: readonly Segment[], joins: (part: Segment, before: Segment) => boolean): Span[] {
  const spans: [number, number][] = [];
  let before: Segment | undefined;
  for (const part of parts) {
    const last = spans.at(-1);
    if (last && before && joins(part, before)) last[1] = part.end;
    else spans.push([part.start, part.end]);
    before = part;
  }
  return spans;
}

/**
 * A text with its spans, in order, replaced by the same content.
 * @param path what replaces them, for messages
 * @throws LoraError where the text grows beyond measure
 */
export function replaceSpans(text: string, spans: readonly Span[], content: string, path: string): string {
  if (spans.length === 0) return text;
  checkGrowth(text.length, spans.length * content.length, path);
  const parts: string[] = [];
  let position = 0;
  for (const [start, end] of spans) {
    parts.push(text.slice(position, start), content);
    position = end;
  }
  return parts.join("") + text.slice(position);
}
