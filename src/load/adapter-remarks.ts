import type { PeftConfig } from "../adapters/config-fields.ts";
import { isCommitHash } from "../io/files/digest.ts";
import type { HubRepository } from "../io/files/files.ts";
import { parseModelReference } from "../io/files/hub.ts";
import { fail } from "../util/fail.ts";
import { asText } from "../util/json.ts";
import type { LoadedModel } from "./model.ts";
import type { ReadAdapter } from "./stored-adapter.ts";

// What an adapter says about its base model, which its tensors cannot show where the shapes fit all the same.

type Base = Pick<LoadedModel, "name" | "hub" | "modelType">;

/** @throws LoraError where the adapter names a class of another architecture than the model's */
export function checkArchitecture(
  { name, modelType }: Base,
  { auto_mapping: mapping }: PeftConfig,
  label: string,
): void {
  const library = asText(mapping?.parent_library) ?? "";
  const [, wanted] = /^transformers\.models\.(\w+)\.modeling_/.exec(library) ?? [];
  const own = modelType?.replaceAll("-", "_");
  if (wanted === undefined || own === undefined || wanted === own) return;
  const got = `is an adapter for ${asText(mapping?.base_model_class) ?? wanted}, and ${name} is a ${modelType} model`;
  fail(label, got, "give the base model that it was trained on");
}

/** What deserves attention about an adapter on this model, a line each. */
export interface AdapterRemarks {
  /** Why it may be of no use at all: it was trained on another base model, or has no effect. */
  readonly doubts: readonly string[];
  /** Another revision of the base, which may differ in a README alone. */
  readonly notes: readonly string[];
}

/** What an adapter says of its base model, and its values of themselves. */
export function adapterRemarks(model: Base, adapter: ReadAdapter): AdapterRemarks {
  const { config } = adapter;
  const other = otherBase(model, config);
  const notes = other.length > 0 ? [] : otherRevisions(model, config);
  return { doubts: [...other, ...withoutEffect(adapter)], notes };
}

function otherBase({ name, hub }: Base, config: PeftConfig): string[] {
  const wanted = config.base_model_name_or_path;
  if (!wanted) return [];
  const own = hub?.repo ?? name;
  const areIds = hub !== undefined && parseModelReference(wanted).kind === "hub";
  const isSame = areIds ? wanted.toLowerCase() === own.toLowerCase() : lastPart(wanted) === lastPart(own);
  if (!isSame) {
    return [
      `the adapter was trained on ${wanted}, and the model is ${own}: the shapes fit, but it means little on other weights`,
    ];
  }
  return [];
}

function otherRevisions({ hub }: Base, config: PeftConfig): string[] {
  const wanted = config.base_model_name_or_path;
  const areIds = wanted && hub !== undefined && parseModelReference(wanted).kind === "hub";
  const revision = asText(config.revision);
  if (!areIds || revision === undefined) return [];
  return otherRevision(revision, hub) ? [otherRevisionRemark(revision, wanted, hub)] : [];
}

/** Whether files are of another revision than an adapter names, which is a branch, a tag or the commit that one stood for. */
function otherRevision(named: string, { revision = "main", commit }: HubRepository): boolean {
  return named !== revision && named !== commit;
}

function otherRevisionRemark(
  named: string,
  repo: string,
  { revision = "main", commit }: HubRepository,
): string {
  const trained = `the adapter was trained on revision ${named} of ${repo}`;
  const remedy = `--revision ${named} loads that one`;
  if (commit === undefined && isCommitHash(named))
    return `${trained}, and nothing tells which commit ${revision} was when the model's files were read: ${remedy}`;
  const own = commit === undefined || commit === revision ? revision : `${revision}, commit ${commit}`;
  return `${trained}, and the model is of ${own}: ${remedy}`;
}

/** A folder that was moved is the same model. */
function lastPart(path: string): string {
  return path.split(/[\\/]/).findLast(Boolean)?.split("@")[0]?.toLowerCase() ?? path;
}

/** LoRA of which no product of B and A is anything but 0, as it is before the first step; and nothing else is trained. */
function withoutEffect({ kind, tensors, shared, saved }: ReadAdapter): string[] {
  if (kind.type !== "LORA" || saved.size > 0 || Object.keys(shared).length > 0) return [];
  const isIdle = [...tensors.values()].every((named) => {
    const own = Object.entries(named);
    return (
      own.every(([name]) => /^lora_(?:embedding_)?[AB]$/.test(name)) &&
      own.some(([, { data }]) => isZero(data))
    );
  });
  return isIdle ? ["the adapter has no effect: lora_B or lora_A is 0 in every layer"] : [];
}

const isZero = (data: Float32Array) => data.every((value) => value === 0);
