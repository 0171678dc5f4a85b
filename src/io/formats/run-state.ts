import { fail, failAll, Problems } from "../../util/fail.ts";
import { isObject, type JsonObject } from "../../util/json.ts";
import { type FileContent, type FileSource, readJson } from "../files/files.ts";
import { readHeader } from "./safetensors.ts";
import { writeSafetensors } from "./safetensors-writer.ts";

/** The files of a run's state, beside PEFT's of its adapter. */
export const RUN_STATE_FILES = { tensors: "state.safetensors", about: "state.json" } as const;

/** Version of what they hold. */
const VERSION = 1;

/** A tensor of a state. */
export interface StateTensor {
  /** Kind of its elements. */
  readonly dtype: "F32" | "U32";
  /** Sizes of its axes. */
  readonly shape: readonly number[];
  /** Row-major, little-endian. */
  readonly data: Uint8Array;
}

/** Where a run was, with all that its next step depends on. */
export interface RunState {
  /** Finished optimiser steps. */
  readonly step: number;
  /** Where in the data the next step begins. */
  readonly place: { readonly epoch: number; readonly index: number };
  /** Terms of the loss so far. */
  readonly trainedTerms: number;
  /** Tokens so far, without padding; absent from states that did not count them. */
  readonly trainedTokens?: number;
  /** The optimiser's name, and its updates: steps without the skipped ones. */
  readonly optimizer: { readonly name: string; readonly updates: number };
  /** Of the next step of a run in mixed precision: the factor of its gradients, and updates since it was changed. */
  readonly lossScale?: { readonly scale: number; readonly updates: number };
  /** Parts that each micro-batch is computed in, where there are several. */
  readonly batchSplit?: number;
  /** What is trained: shapes by name, in order. */
  readonly parameters: Readonly<Record<string, readonly number[]>>;
  /** `parameters`, `optimizer.…` and `kept.…` */
  readonly tensors: ReadonlyMap<string, StateTensor>;
}

/** What a state's writer adds: what the run was asked for, what it ran on, its best evaluation. */
export interface RunNotes {
  /** The settings that its numbers depend on. */
  readonly settings: JsonObject;
  /** What tells base and data from others, as digests. */
  readonly identity: Readonly<Record<string, string>>;
  /** Versions of program and device. */
  readonly versions: Readonly<Record<string, string>>;
  /** The best evaluation so far. */
  readonly best?: {
    readonly loss: number;
    /** After which step. */
    readonly step: number;
    /** What it is the best by; absent: the loss. */
    readonly metric?: string;
    /** Of that metric. */
    readonly value?: number;
    /** Evaluations since one that was better by the threshold. */
    readonly misses?: number;
  };
}

/** What is other than it was: settings by their names, base and data. */
export function differences(was: RunNotes, is: Pick<RunNotes, "settings" | "identity">): string[] {
  const names = new Set([...Object.keys(was.settings), ...Object.keys(is.settings)]);
  const text = (value: unknown) => JSON.stringify(value ?? null);
  const changed = [...names]
    .filter((name) => text(was.settings[name]) !== text(is.settings[name]))
    .map((name) => `${name} was ${text(was.settings[name])}, and is ${text(is.settings[name])}`);
  const others = Object.keys(is.identity).filter((name) => was.identity[name] !== is.identity[name]);
  return [...changed, ...others.map((name) => `the ${name} has another content than it had`)];
}

/** `state.safetensors` and `state.json`; the latter, which names the former's digest, comes last. */
export function runStateFiles(
  { tensors, ...state }: RunState,
  notes: RunNotes,
  sha256: (bytes: Uint8Array) => string,
): Map<string, FileContent> {
  const file = writeSafetensors([...tensors].map(([name, tensor]) => ({ name, ...tensor })));
  const about = { version: VERSION, ...state, ...notes, sha256: sha256(file) };
  return new Map<string, FileContent>([
    [RUN_STATE_FILES.tensors, file],
    [RUN_STATE_FILES.about, `${JSON.stringify(about, null, 2)}\n`],
  ]);
}

/**
 * Reads a state.
 * @throws LoraError for one that is missing, cut off, of another version, or none
 */
export async function readRunState(
  files: FileSource,
  sha256: (bytes: Uint8Array) => string,
): Promise<{ state: RunState; notes: RunNotes }> {
  const { tensors: file, about: json } = RUN_STATE_FILES;
  const label = `${files.label}/${json}`;
  const about: unknown = await readJson(files, json);
  if (!isObject(about)) fail(label, "is no JSON object", DAMAGED);
  if (about.version !== VERSION) {
    const got = `is of version ${JSON.stringify(about.version)}, and this program reads ${VERSION}`;
    fail(label, got, "resume with the program that wrote it");
  }
  failAll(label, aboutProblems(about), DAMAGED);
  const size = await files.size(file);
  if (size === undefined) fail(files.label, `${file} is missing`, DAMAGED);
  const bytes = await files.read(file, 0, size);
  if (sha256(bytes) !== about.sha256) fail(files.label, `${file} is not the one that ${json} names`, DAMAGED);
  const { tensors } = await readHeader(files, file);
  const read = [...tensors.values()].map(({ name, dtype, shape, begin, end }) => {
    if (dtype !== "F32" && dtype !== "U32") fail(label, `${name} is ${dtype}`, DAMAGED);
    return [name, { dtype, shape, data: bytes.slice(begin, end) }] as const;
  });
  const { settings, identity, versions, best, version: _, sha256: __, ...state } = about;
  return {
    state: { ...state, tensors: new Map(read) } as unknown as RunState,
    notes: { settings, identity, versions, ...(best !== undefined && { best }) } as unknown as RunNotes,
  };
}

const DAMAGED = "the checkpoint is damaged or cut off; resume from another one";

const isCount = (value: unknown) => Number.isSafeInteger(value) && Number(value) >= 0;
const hasCounts = (value: unknown, keys: readonly string[]) =>
  isObject(value) && keys.every((key) => isCount(value[key]));
const isTexts = (value: unknown) =>
  isObject(value) && Object.values(value).every((text) => typeof text === "string");
const isShapes = (value: unknown) =>
  isObject(value) && Object.values(value).every((shape) => Array.isArray(shape) && shape.every(isCount));

const FIELDS: Readonly<Record<string, (value: unknown) => boolean>> = {
  step: isCount,
  place: (value) => hasCounts(value, ["epoch", "index"]),
  trainedTerms: isCount,
  trainedTokens: (value) => value === undefined || isCount(value),
  optimizer: (value) => hasCounts(value, ["updates"]) && typeof (value as JsonObject).name === "string",
  batchSplit: (value) => value === undefined || (isCount(value) && Number(value) > 0),
  lossScale: (value) =>
    value === undefined || (hasCounts(value, ["updates"]) && Number((value as JsonObject).scale) > 0),
  parameters: isShapes,
  settings: isObject,
  identity: isTexts,
  versions: isTexts,
  best: (value) =>
    value === undefined || (hasCounts(value, ["step"]) && Number.isFinite((value as JsonObject).loss)),
  sha256: (value) => typeof value === "string",
};

function aboutProblems(about: JsonObject): Problems {
  const problems = new Problems();
  for (const [name, isGood] of Object.entries(FIELDS))
    if (!isGood(about[name])) problems.push(`${name} is ${JSON.stringify(about[name])}`);
  return problems;
}
