import type { LayerReport } from "../../load/inspect/report.ts";
import { largest, smallest } from "../../util/arrays.ts";

/** Layers whose paths differ in numbers only, such as all `model.layers.*.self_attn.q_proj`. */
export interface LayerKind {
  /** The path with `*` in place of the numbers. */
  readonly pattern: string;
  /** The end of the path, as far as it tells the kind from the others. */
  readonly name: string;
  /** In the order of their numbers. */
  readonly layers: readonly LayerReport[];
}

/** The layers by kind, in the order in which the kinds come first. */
export function kindsOf(layers: readonly LayerReport[]): LayerKind[] {
  const groups = new Map<string, LayerReport[]>();
  for (const layer of layers) {
    const pattern = layer.path.replace(/(?<=^|\.)\d+(?=\.|$)/g, "*");
    groups.set(pattern, [...(groups.get(pattern) ?? []), layer]);
  }
  const patterns = [...groups.keys()];
  return [...groups].map(([pattern, members]) => ({
    pattern,
    name: shortName(pattern, patterns),
    layers: members.toSorted((a, b) => numbersOf(a.path) - numbersOf(b.path)),
  }));
}

/** The number of a layer by its path: the first number counts most. */
function numbersOf(path: string): number {
  return [...path.matchAll(/(?<=^|\.)\d+(?=\.|$)/g)].reduce(
    (sum, [digits]) => sum * 1000 + Number(digits),
    0,
  );
}

function shortName(pattern: string, all: readonly string[]): string {
  const parts = pattern.split(".");
  const ends = parts.map((_, i) => parts.slice(parts.length - 1 - i).join("."));
  return ends.find((end) => all.filter((other) => `.${other}`.endsWith(`.${end}`)).length === 1) ?? pattern;
}

/** The smallest and the largest of a figure over layers, where it is known. */
export function rangeOf(
  layers: readonly LayerReport[],
  figure: (layer: LayerReport) => number | undefined,
): [number, number] | undefined {
  const known = layers.flatMap((layer) => figure(layer) ?? []);
  return known.length === 0 ? undefined : [smallest(known), largest(known)];
}

/** A range of numbers in words, `–` where nothing is known. */
export function showRange(range: [number, number] | undefined, show: (x: number) => string): string {
  if (!range) return "–";
  const [low, high] = range.map(show);
  return low === high ? `${low}` : `${low} to ${high}`;
}

/** A number with three digits. */
export function digits(x: number): string {
  if (x === 0) return "0";
  return x < 1e-3 || x >= 1e5 ? x.toExponential(1) : Number(x.toPrecision(3)).toString();
}

/** A share in per cent. */
export function perCent(x: number): string {
  return `${digits(100 * x)} %`;
}
