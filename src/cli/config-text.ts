import { stringify } from "yaml";

/** Settings that belong to one start of a run, or open doors. */
const NOT_KEPT = ["token", "resume", "force", "dry_run"];

/** Settings whose default depends on others: it is kept as if it had been given. */
const SETTLED = ["learning_rate"];

/**
 * The settings of a run as a configuration that it runs again from: what was given, and under `defaults` what held where nothing
 * was, so that another version's defaults change nothing.
 */
export function configText(
  settings: Readonly<Record<string, unknown>>,
  given: ReadonlySet<PropertyKey>,
): string {
  const all = Object.entries(settings).filter(([name]) => !NOT_KEPT.includes(name));
  const kept = all.filter(([name, value]) => value !== undefined && (given.has(name) || !isNothing(value)));
  const isGiven = ([name]: readonly [string, unknown]) => given.has(name) || SETTLED.includes(name);
  const defaults = Object.fromEntries(kept.filter((entry) => !isGiven(entry)));
  const body = { ...Object.fromEntries(kept.filter(isGiven)), defaults };
  return `# This run again: webgpu-lora train --config FILE --output-dir ANOTHER\n${stringify(body)}`;
}

/** What stands for "not given": it cannot be given. */
function isNothing(value: unknown): boolean {
  if (value === undefined || value === null || value === "") return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}
