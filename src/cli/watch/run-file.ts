import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseJson } from "../../io/json/parse.ts";
import { messageOf } from "../../util/fail.ts";
import { isObject, type JsonObject } from "../../util/json.ts";
import { replaceFile } from "./replace-file.ts";

/** What a run's file about itself is called, in its folder. */
export const RUN_FILE = "run.json";

/** How a run is, or has ended. */
export type RunStatus = "running" | "finished" | "interrupted" | "failed";

/** What is known about a run beside its figures. */
export interface RunAbout {
  readonly status: RunStatus;
  /** Why it failed. */
  readonly error?: string;
  /** The model's name. */
  readonly model: string;
  readonly task: string;
  /** When it began first, and when it ended last, as ISO 8601. */
  readonly started: string;
  readonly ended?: string;
  /** Steps that it is to have; unknown before the first. */
  readonly totalSteps?: number;
  /** Parameters that are trained, and all. */
  readonly trainable: number;
  readonly parameters: number;
  /** Settings by their names, without tokens. */
  readonly settings: JsonObject;
  /** Which of them were given. */
  readonly given: readonly string[];
  /** What became of the rows, as it was told. */
  readonly data: readonly string[];
  /** Versions of program and device. */
  readonly versions: Readonly<Record<string, string>>;
  /** Checkpoints' steps that it went on from. */
  readonly resumed: readonly number[];
}

/** Writes `run.json`. @throws what the system says where that can't be done */
export function writeRunFile(folder: string, about: RunAbout): void {
  replaceFile(join(folder, RUN_FILE), `${JSON.stringify({ version: 1, ...about }, null, 2)}\n`);
}

/** Reads `run.json`; text says what is wrong with it, undefined that there is none. */
export function readRunFile(folder: string): RunAbout | string | undefined {
  const path = join(folder, RUN_FILE);
  if (!existsSync(path)) return undefined;
  try {
    const value: unknown = parseJson(readFileSync(path, "utf8"), path);
    return isAbout(value) ? value : `${path} is no file about a run`;
  } catch (error) {
    return messageOf(error);
  }
}

function isAbout(value: unknown): value is RunAbout & JsonObject {
  if (!isObject(value)) return false;
  const { status, model, task, started, settings, given, data, versions, resumed, totalSteps } = value;
  return (
    [status, model, task, started].every((text) => typeof text === "string") &&
    [settings, versions].every(isObject) &&
    [given, data, resumed].every(Array.isArray) &&
    (totalSteps === undefined || typeof totalSteps === "number")
  );
}
