import type { JsonObject } from "../../util/json.ts";
import { shown } from "../../util/shown.ts";
import { IGNORE_INDEX } from "../sequence.ts";

/** A row that is tokens already, by TRL's names of the columns. Nothing is put before or behind them. */
export interface TokensExample {
  /** Of the model's own tokenizer. */
  readonly input_ids: readonly number[];
  /** The id itself where it is learnt, and −100 elsewhere; all are learnt where neither this nor a mask is there. */
  readonly labels?: readonly number[];
}

/** Columns of 0 and 1, or of true and false, in which 0 takes a token out of the loss where there are no labels. */
const MASKS = ["completion_mask", "assistant_masks"] as const;

/** Whether a row is tokens. */
export function isTokens(row: object): row is TokensExample {
  return "input_ids" in row;
}

/**
 * A row with `input_ids`, or what is wrong with it. Tokens at its ends that `attention_mask` hides are padding, and no
 * part of it.
 */
export function readTokens(values: JsonObject): TokensExample | string {
  const ids = listOf(values, "input_ids", isId, "token ids (whole numbers from 0)");
  if (typeof ids === "string") return ids;
  if (ids.length === 0) return '"input_ids" is empty';
  const labels = readLabels(values, ids);
  if (typeof labels === "string") return labels;
  const kept = keptSpan(values, ids.length);
  if (typeof kept === "string") return kept;
  const [start, end] = kept;
  return { input_ids: ids.slice(start, end), ...(labels && { labels: labels.slice(start, end) }) };
}

function readLabels(values: JsonObject, ids: readonly number[]): number[] | undefined | string {
  if (isThere(values, "labels")) {
    const labels = listOf(values, "labels", Number.isSafeInteger, "ids, or -100", ids.length);
    if (typeof labels === "string") return labels;
    const other = labels.findIndex((label, i) => label !== IGNORE_INDEX && label !== ids[i]);
    if (other < 0) return labels;
    const isShifted = labels.every((label, i) => i + 1 === ids.length || label === ids[i + 1] || label < 0);
    const why = isShifted ? " (labels are not shifted: each belongs to its own token)" : "";
    return `"labels"[${other}] is ${labels[other]}, wanted -100 or the token's own id ${ids[other]}${why}`;
  }
  const masks = MASKS.filter((key) => isThere(values, key)).map((key) => readMask(values, key, ids.length));
  const problem = masks.find((mask) => typeof mask === "string");
  if (problem !== undefined) return problem as string;
  if (masks.length === 0) return undefined;
  return ids.map((id, i) => (masks.every((mask) => mask[i] === true) ? id : IGNORE_INDEX));
}

/** Where the tokens that a row consists of begin and end. */
function keptSpan(values: JsonObject, length: number): readonly [start: number, end: number] | string {
  if (!isThere(values, "attention_mask")) return [0, length];
  const mask = readMask(values, "attention_mask", length);
  if (typeof mask === "string") return mask;
  const [start, end] = [mask.indexOf(true), mask.lastIndexOf(true) + 1];
  if (start < 0) return '"attention_mask" hides every token';
  const hidden = mask.indexOf(false, start);
  if (hidden < 0 || hidden >= end) return [start, end];
  return `"attention_mask"[${hidden}] hides a token between others, of which only those at the ends are padding`;
}

function readMask(values: JsonObject, key: string, length: number): boolean[] | string {
  const isBit = (value: unknown) => value === 0 || value === 1 || typeof value === "boolean";
  const bits = listOf(values, key, isBit, "0 and 1", length);
  return typeof bits === "string" ? bits : bits.map(Boolean);
}

const isThere = (values: JsonObject, key: string) => (values[key] ?? undefined) !== undefined;

const isId = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0;

function listOf(
  values: JsonObject,
  key: string,
  isItem: (value: unknown) => boolean,
  wanted: string,
  length?: number,
): number[] | string {
  const list = values[key];
  if (!Array.isArray(list)) return `"${key}" is ${shown(list)}, wanted a list of ${wanted}`;
  const wrong = list.findIndex((item) => !isItem(item));
  if (wrong >= 0) return `"${key}"[${wrong}] is ${shown(list[wrong])}, wanted ${wanted}`;
  if (length === undefined || list.length === length) return list as number[];
  return `has ${length} "input_ids" and ${list.length} of "${key}"`;
}
