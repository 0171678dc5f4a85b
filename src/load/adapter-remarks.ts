import type { PeftConfig } from "../adapters/config-fields.ts";
import { isCommitHash } from "../io/files/digest.ts";
import type { HubRepository } from "../io/files/files.ts";
import { parseModelReference } from "../io/files/reference.ts";
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
  /** Another revision of the base, which may differ in a README alone, or a folder of another name, which may be the same model. */
  readonly notes: readonly string[];
}

/** What an adapter says of its base model, and its values of themselves. */
export function adapterRemarks(model: Base, adapter: ReadAdapter): AdapterRemarks {
  const { base_model_name_or_path: wanted, revision } = adapter.config;
  const idle = withoutEffect(adapter);
  if (!wanted) return { doubts: idle, notes: [] };
  const { hub } = model;
  if (hub === undefined || parseModelReference(wanted).kind !== "hub") {
    // Folders are renamed: one of another name may be the same model.
    const isSame = lastPart(wanted) === lastPart(hub?.repo ?? model.name);
    return { doubts: idle, notes: isSame ? [] : [otherBaseRemark(wanted, hub?.repo ?? model.name)] };
  }
  if (wanted.toLowerCase() !== hub.repo.toLowerCase())
    return { doubts: [otherBaseRemark(wanted, hub.repo), ...idle], notes: [] };
  const named = asText(revision);
  const isOther = named !== undefined && otherRevision(named, hub);
  return { doubts: idle, notes: isOther ? [otherRevisionRemark(named, wanted, hub)] : [] };
}

const otherBaseRemark = (wanted: string, own: string) =>
  `the adapter was trained on ${wanted}, and the model is ${own}: the shapes fit, but it means little on other weights`;

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
