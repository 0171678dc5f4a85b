import { existsSync } from "node:fs";
import type { Adapter } from "../adapters/adapter.ts";
import type { LoadedModel } from "../load/model.ts";
import type { Task } from "../models/model.ts";
import { fail, failAll } from "../util/fail.ts";
import { type AdapterReference, openCliAdapter } from "./open.ts";

/** An adapter as a user names it, and how much of it is wanted. */
export interface WeightedReference {
  readonly reference: string;
  readonly weight: number;
}

/** A saved adapter, how much of it is wanted, and what it is called. */
export interface WeightedAdapter extends AdapterReference {
  readonly name: string;
  readonly weight: number;
}

/**
 * Reads `ref` and `ref=weight`. A folder whose own name ends so is taken for that.
 * @throws LoraError listing the words whose weight is no number
 */
export function weightedReferences(words: readonly string[]): WeightedReference[] {
  const found = words.map((word) => ({ word, ...readWord(word) }));
  const wrong = found.filter(({ weight }) => !Number.isFinite(weight));
  failAll(
    "adapters",
    wrong.map(({ word }) => `${word}: what follows = is no number`),
    "write REF=WEIGHT, such as my-adapter=0.5",
  );
  return found;
}

function readWord(word: string): WeightedReference {
  const place = word.lastIndexOf("=");
  const isAddress = /^https?:\/\/[^=]*\?/.test(word); // its query may hold =
  if (place < 0 || isAddress || existsSync(word)) return { reference: word, weight: 1 };
  const text = word.slice(place + 1);
  return { reference: word.slice(0, place), weight: text.trim() === "" ? Number.NaN : Number(text) };
}

/** Settings that name the adapters of one model. */
export interface AdapterSettings {
  /** `ref` or `ref=weight`. */
  readonly adapter_path: readonly string[];
  /** Of the only adapter; a hub id names its own as `owner/name@revision`. */
  readonly adapter_revision?: string | undefined;
  readonly token: string | undefined;
  readonly verify: boolean;
}

/**
 * The adapters that settings name, in their order.
 * @param taken names that no adapter gets
 * @throws LoraError for one that is named twice, a weight that is no number, and a revision that would be of none or of several
 */
export function weightedAdapters(
  { adapter_path: words, adapter_revision: revision, token, verify }: AdapterSettings,
  taken: readonly string[] = [],
): WeightedAdapter[] {
  const found = weightedReferences(words);
  if (revision !== undefined && found.length !== 1) {
    const got = `there ${found.length === 0 ? "is no adapter" : `are ${found.length} adapters`} that it could be of`;
    const help =
      found.length === 0 ? "name the adapter, or leave it out" : "write each as owner/name@revision";
    fail("adapter_revision", got, help);
  }
  const names = adapterNames(
    found.map(({ reference }) => reference),
    taken,
  );
  return found.map((each, i) => ({ ...each, name: names[i] as string, revision, token, verify }));
}

/** The last part of each path, or all of it where that would be another's name, too. */
function adapterNames(references: readonly string[], taken: readonly string[]): readonly string[] {
  const twice = references.find((reference, i) => references.indexOf(reference) !== i);
  if (twice !== undefined) fail("adapter_path", `${twice} is given twice`, "give each adapter once");
  const short = references.map((reference) => reference.split(/[\\/]/).findLast(Boolean) ?? reference);
  const isTaken = (name: string) =>
    taken.includes(name) || short.filter((other) => other === name).length > 1;
  return short.map((name, i) => (isTaken(name) ? (references[i] as string) : name));
}

/** How an adapter and its weight are written. */
export function shownAdapter({ reference, weight }: WeightedReference): string {
  return weight === 1 ? reference : `${reference}=${weight}`;
}

/**
 * Puts saved adapters on a model, one behind the other, each as strong as its weight says.
 * @returns the model that runs through them, with the chat templates of their folders, and the adapters as strong as they are
 * @throws LoraError as loading does, and for a weight of a method that has no factor
 */
export async function openCliAdapters<T extends Task>(
  base: LoadedModel<T>,
  wanted: readonly WeightedAdapter[],
  note: (line: string) => void,
): Promise<{ model: LoadedModel<T>; adapters: readonly Adapter[] }> {
  let model = base;
  const opened: Adapter[] = [];
  for (const each of wanted) {
    const next = await openCliAdapter(model, each, note);
    model = next.model;
    opened.push(next.adapter);
  }
  if (wanted.every(({ weight }) => weight === 1)) return { model, adapters: opened };
  const scaled = opened.map((adapter, i) => {
    const { weight = 1 } = wanted[i] ?? {};
    return weight === 1 ? adapter : adapter.scaled(weight);
  });
  return { model: Object.assign({}, model, model.withAdapters(scaled)), adapters: opened };
}
