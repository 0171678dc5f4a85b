import { fail, failAll } from "../util/fail.ts";
import { isObject } from "../util/json.ts";
import { shown } from "../util/shown.ts";
import type { OptionTable } from "./options.ts";

/** A setting of a configuration, by the name that it has there. */
interface ConfigEntry {
  readonly key: string;
  readonly name: string;
  readonly value: unknown;
}

/** What an item of `datasets` may say: TRL's names, and `weight` for its `fraction`. */
const KNOWN = ["path", "data_files", "split", "weight", "fraction"];
/** What `path` is in TRL where `data_files` says which files are meant: a format, not a folder. */
const BUILDERS = ["json", "csv", "parquet", "text"];

const HELP = `write datasets: [{ path: chats.jsonl, weight: 3 }, { path: web.jsonl, weight: 1 }]; known keys: ${KNOWN.join(", ")}`;

/** Whether a command takes several data sets, so that a configuration may name them as TRL does. */
export const takesDataSets = (table: OptionTable) =>
  Object.hasOwn(table, "data") && Object.hasOwn(table, "data_weights");

/**
 * TRL's `datasets` as `data` and `data_weights`.
 * @throws LoraError listing all that is wrong with them
 */
export function dataSetEntries(value: unknown, label: string): ConfigEntry[] {
  if (!Array.isArray(value) || value.length === 0) fail(label, `datasets is ${shown(value)}`, HELP);
  const items = value.map((item: unknown, i) => readItem(item, `datasets[${i}]`));
  const problems = items.flatMap(({ problems }) => problems);
  const weighted = items.filter(({ weight }) => weight !== undefined);
  if (weighted.length > 0 && weighted.length < items.length) {
    problems.push(`${weighted.length} of ${items.length} datasets have a weight: all must, or none`);
  }
  failAll(label, problems, HELP);
  const data = { key: "data", name: "datasets", value: items.flatMap(({ paths }) => paths) };
  if (weighted.length < 2) return [data];
  return [data, { key: "data_weights", name: "datasets", value: items.map(({ weight }) => weight) }];
}

interface Item {
  readonly paths: readonly string[];
  readonly weight: unknown;
  readonly problems: string[];
}

function readItem(item: unknown, where: string): Item {
  if (typeof item === "string") return { paths: [item], weight: undefined, problems: [] };
  if (!isObject(item)) return { paths: [], weight: undefined, problems: [`${where} is ${shown(item)}`] };
  const { path, data_files: files = path, split = "train", weight, fraction } = item;
  const problems = Object.keys(item)
    .filter((key) => !KNOWN.includes(key))
    .map((key) => `${where} has ${shown(key)}, which is unknown`);
  if (typeof path !== "string" || path === "")
    problems.push(`${where}.path is ${shown(path)}, wanted a path`);
  else if (files !== path && !BUILDERS.includes(path)) {
    problems.push(`${where} has a path and data_files: give the files alone, as path`);
  }
  const paths: unknown[] = Array.isArray(files) ? files : [files];
  if (!paths.every((one) => typeof one === "string"))
    problems.push(`${where}.data_files is ${shown(files)}, wanted a path`);
  if (split !== "train")
    problems.push(`${where}.split is ${shown(split)}, wanted train: rows to judge by are eval_data`);
  if (weight !== undefined && fraction !== undefined)
    problems.push(`${where} has weight and fraction, which are the same`);
  const share = weight ?? fraction;
  if (share !== undefined && paths.length > 1)
    problems.push(`${where} has a weight for ${paths.length} files: give each its own`);
  if (share !== undefined && !(typeof share === "number" && share >= 0 && share < Number.POSITIVE_INFINITY)) {
    problems.push(`${where} has the weight ${shown(share)}, wanted a number from 0`);
  }
  return { paths: paths as string[], weight: share, problems };
}
