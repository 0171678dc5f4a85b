import { isScalar, LineCounter, parseDocument, visit } from "yaml";
import { fail, failAll, Problems } from "../util/fail.ts";
import { isObject } from "../util/json.ts";
import { dataSetEntries, takesDataSets } from "./config-data-sets.ts";
import { isForeign, translate } from "./foreign-names.ts";
import { readMlxSettings } from "./mlx-settings.ts";
import type { OptionTable } from "./options.ts";
import { describeUnknown, type GivenValue, keyOf } from "./settings.ts";

/** How often anchors may be repeated, aliases of aliases counted: ten of ten, ten times over, are ten thousand million. */
const MOST_ALIASES = 100;

/** Rank that mlx-lm takes where its `lora_parameters` name none; its scale has to be turned into an alpha. */
const MLX_RANK = 8;

/**
 * Reads a YAML (or JSON) configuration: keys are the names of a table or their aliases, mlx-lm's `lora_parameters`, TRL's
 * `datasets`, and what else those tools' configurations have, as far as it can be done here. A key without a value counts as
 * not given; what stands under `defaults` holds where nothing is given.
 * @throws LoraError where it is no YAML, and listing every unknown key with the nearest known one, and every known one of
 * other tools that cannot be honoured.
 */
export function parseConfig(source: string, label: string, table: OptionTable): GivenValue[] {
  const problems = new Problems();
  const { others, meant } = readMlxSettings(givenIn(readMapping(source, label)), problems);
  const flat = others.flatMap(([name, value]): GivenValue[] => {
    if (name === "lora_parameters") return loraParameters(value, label);
    if (name === "datasets" && takesDataSets(table)) return dataSetEntries(value, label);
    if (name === "defaults") return defaultEntries(value, label);
    if (keyOf(table, name) !== undefined || !isForeign(name)) return [{ key: name, name, value }];
    const ours = translate(name, value);
    if (typeof ours !== "string") return ours.map((setting) => ({ ...setting, name }));
    problems.push(ours);
    return [];
  });
  const values = [...flat, ...meant].map((entry) => ({ ...entry, key: keyOf(table, entry.key) }));
  const unknown = values.filter(({ key }) => key === undefined);
  for (const { name } of unknown) problems.push(() => describeUnknown(table, name.replace(DEFAULTS, "")));
  failAll(
    label,
    problems,
    unknown.length > 0 ? "keys are the command's options; its --help describes each" : "",
  );
  return values as GivenValue[];
}

const DEFAULTS = /^defaults\./;

const givenIn = (mapping: object) => Object.entries(mapping).filter(([, value]) => value !== null);

/** What holds where nothing is given, as a run's own `config.yaml` has it. */
function defaultEntries(value: unknown, label: string): GivenValue[] {
  if (!isObject(value))
    return fail(label, "defaults has no keys", "write settings below it, or leave it out");
  return givenIn(value).map(([key, value]) => ({ key, name: `defaults.${key}`, value, isDefault: true }));
}

/** The keys and values of a YAML or JSON file. @throws LoraError where it is none, or none of such */
export function readMapping(source: string, label: string): Record<string, unknown> {
  const lineCounter = new LineCounter();
  const parsed = documentOf(source, lineCounter, label);
  const problems = new Problems();
  const tell = (message: string, offset: number) => {
    const { line, col } = lineCounter.linePos(offset);
    problems.push(`${message} at line ${line}, column ${col}`);
  };
  // A warning is of a tag that YAML has not, such as !!js/function.
  for (const { message, pos } of [...parsed.errors, ...parsed.warnings]) tell(message, pos[0]);
  visit(parsed, {
    Map(_, { items }) {
      const seen = new Set<unknown>();
      for (const { key } of items) {
        if (!isScalar(key)) continue;
        if (seen.has(key.value)) tell("Map keys must be unique", key.range?.[0] ?? 0);
        seen.add(key.value);
      }
    },
  });
  failAll(label, problems, PLAIN);
  const value: unknown = valuesOf(parsed, label) ?? {};
  if (typeof value === "object" && !Array.isArray(value)) return value as Record<string, unknown>;
  return fail(label, "is no list of keys and values", "write one `key: value` a line");
}

const PLAIN = "write one `key: value` a line, and what has : or # in it in quotation marks";

/** Bytes of a configuration. */
export const MAX_CONFIG_BYTES = 2 ** 16;

/** Keys are compared afterwards: the parser compares each with all others. */
function documentOf(
  source: string,
  lineCounter: LineCounter,
  label: string,
): ReturnType<typeof parseDocument> {
  try {
    return parseDocument(source, { lineCounter, logLevel: "error", prettyErrors: false, uniqueKeys: false });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return fail(label, "is nested too deeply", PLAIN);
  }
}

/** What the parser finds wrong only now: an alias of nothing, aliases that grow without end, nesting beyond its stack. */
function valuesOf(parsed: ReturnType<typeof parseDocument>, label: string): unknown {
  try {
    return parsed.toJS({ maxAliasCount: MOST_ALIASES });
  } catch (error) {
    return fail(label, error instanceof Error ? error.message : String(error), PLAIN);
  }
}

/** mlx-lm's `lora_parameters`: its `scale` is the factor itself, PEFT's is alpha / rank. */
function loraParameters(value: unknown, label: string): GivenValue[] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    fail(label, "lora_parameters has no keys", "it takes rank, scale, dropout and keys");
  }
  const parameters = value as Record<string, unknown>;
  return Object.entries(parameters).map(([part, value]) => {
    const name = `lora_parameters.${part}`;
    if (part !== "scale") return { key: MLX_NAMES.get(part) ?? name, name, value };
    return { key: "lora_alpha", name, value: Number(value) * Number(parameters.rank ?? MLX_RANK) };
  });
}

const MLX_NAMES: ReadonlyMap<string, string> = new Map([
  ["rank", "lora_r"],
  ["alpha", "lora_alpha"],
  ["dropout", "lora_dropout"],
  ["keys", "target_modules"],
]);
