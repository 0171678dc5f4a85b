import { append } from "../../util/arrays.ts";
import { firstOf } from "../../util/group-lines.ts";
import { patternMatcher } from "../../util/module-patterns.ts";
import { type PeftLoraConfig, trainedWhole } from "./peft-config.ts";
import { DIFFUSERS, describeForeignTensor } from "./peft-foreign-tensors.ts";
import type { TensorInfo } from "./safetensors.ts";

/** Where the tensors of one module lie: A `[r, in]`, B `[out, r]`. */
export interface LoraPair {
  readonly A: TensorInfo;
  readonly B: TensorInfo;
}

/** The tensors of a file, sorted out. `pairs` is complete only where there are no problems. */
export interface SortedTensors {
  readonly pairs: ReadonlyMap<string, LoraPair>;
  /** Tensors of modules that were trained whole (modules_to_save), by their names in the model. */
  readonly saved: ReadonlyMap<string, TensorInfo>;
  readonly problems: readonly string[];
  /** What can be done about tensors that are not supported. */
  readonly remedies: readonly string[];
  readonly warnings: readonly string[];
}

/** Names by what is to be said of them, so that one fault in a thousand tensors is one line. */
type Findings = Map<string, string[]>;

/**
 * Sorts the tensors of `adapter_model.safetensors` by module and checks them.
 * @param config undefined where the configuration could not be read: then the ranks are not compared with it
 */
export function pairTensors(
  tensors: ReadonlyMap<string, TensorInfo>,
  config: PeftLoraConfig | undefined,
): SortedTensors {
  const problems: Findings = new Map();
  const saved = savedTensors(tensors, config ? trainedWhole(config) : [], problems);
  const own = new Set(saved.values());
  const keys = [...tensors.values()]
    .filter((info) => !own.has(info))
    .map((info) => ({ info, key: parseKey(info.name) }));
  const remedies = new Set<string>();
  for (const { info, key } of keys) {
    if (key) continue;
    const { what, remedy } = describeForeignTensor(info.name, config?.bias);
    note(problems, what, withShape(info));
    remedies.add(remedy);
  }
  const pairs = gatherPairs(keys, problems);
  const names = new Set(keys.flatMap(({ key }) => (key ? [key.adapter ?? "(no name)"] : [])));
  if (names.size > 1) note(problems, "tensors of several adapters in one file", ...names);
  if (pairs.size === 0 && problems.size === 0) note(problems, "no tensor of LoRA", `${tensors.size} tensors`);
  const warnings = config ? checkRanks(pairs, config, problems) : [];
  if (problems.size > 0 && remedies.size === 0) remedies.add(SAVE_AGAIN);
  if (keys.some(({ key }) => key && !key.prefixed)) warnings.push(NO_PREFIX);
  return {
    pairs,
    saved,
    problems: [...problems].map(([text, found]) => `${text}: ${listed(found)}`),
    remedies: [...remedies],
    warnings,
  };
}

const SAVE_AGAIN =
  "the two files do not belong together or are damaged: take both of one adapter, as PEFT's save_pretrained wrote them";
const NO_PREFIX =
  "the tensors' names lack the prefix base_model.model.; PEFT would load none of them and say little";

/** What a name says: the module, which tensor of it, and the adapter's name where the name holds one. */
interface LoraKey {
  readonly path: string;
  readonly part: "A" | "B";
  readonly adapter: string | undefined;
  readonly prefixed: boolean;
}

/** PEFT drops the adapter's name on saving, other savers leave it in. */
const LORA_KEY = /^(.+)\.lora_(A|B)(?:\.([^.]+))?\.weight$/;
/** Segments that torch.compile, FSDP and activation checkpointing put into names. */
const WRAPPERS = /(?<=^|\.)(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\./g;
const PREFIX = /^(?:base_model\.(?:model\.)?)+/;

function parseKey(name: string): LoraKey | undefined {
  const plain = name.replace(WRAPPERS, "");
  const match = LORA_KEY.exec(plain.replace(PREFIX, ""));
  if (!match || match[1]!.split(".").includes("base_layer") || DIFFUSERS.test(name)) return undefined;
  return { path: match[1]!, part: match[2] as "A" | "B", adapter: match[3], prefixed: PREFIX.test(plain) };
}

/** Whether a tensor lies in a module that modules_to_save names: by the end of its path, or of a path above it. */
export function isTensorOf(tensor: string, name: string): boolean {
  const modules = tensor.split(".").slice(0, -1);
  return modules.some((_, i) =>
    modules
      .slice(0, i + 1)
      .join(".")
      .endsWith(name),
  );
}

/** The tensors of modules_to_save, by their names in the model. */
function savedTensors(
  tensors: ReadonlyMap<string, TensorInfo>,
  names: readonly string[],
  problems: Findings,
): Map<string, TensorInfo> {
  const found = new Map<string, TensorInfo>();
  for (const info of tensors.values()) {
    const plain = info.name.replace(WRAPPERS, "").replace(PREFIX, "");
    const isSaved = names.some((name) => isTensorOf(plain, name));
    if (!isSaved || LORA_KEY.test(plain)) continue;
    if (!FLOATS.includes(info.dtype))
      note(problems, `${info.dtype} in place of ${FLOATS.join(", ")}`, withShape(info));
    found.set(plain, info);
  }
  return found;
}

function gatherPairs(
  keys: readonly { info: TensorInfo; key: LoraKey | undefined }[],
  problems: Findings,
): Map<string, LoraPair> {
  const halves = { A: new Map<string, TensorInfo>(), B: new Map<string, TensorInfo>() };
  for (const { info, key } of keys) {
    if (!key) continue;
    if (halves[key.part].has(key.path)) note(problems, "two tensors for the same place", info.name);
    halves[key.part].set(key.path, info);
    if (!FLOATS.includes(info.dtype))
      note(problems, `${info.dtype} in place of ${FLOATS.join(", ")}`, withShape(info));
  }
  const { A, B } = halves;
  for (const path of A.keys()) if (!B.has(path)) note(problems, "lora_A without lora_B", path);
  for (const path of B.keys()) if (!A.has(path)) note(problems, "lora_B without lora_A", path);
  const paths = [...A.keys()].filter((path) => B.has(path));
  const pairs = paths.map((path): [string, LoraPair] => [path, { A: A.get(path)!, B: B.get(path)! }]);
  return new Map(pairs.filter(([path, pair]) => fits(path, pair, problems)));
}

const FLOATS = ["F32", "F16", "BF16", "F64"];

function fits(path: string, { A, B }: LoraPair, problems: Findings): boolean {
  const shapes = `${path} (lora_A [${A.shape}], lora_B [${B.shape}])`;
  if (A.shape.length !== 2 || B.shape.length !== 2) {
    note(problems, "not two axes each, as linear layers have (convolutions are not supported)", shapes);
  } else if (A.shape[0] !== B.shape[1]) {
    note(problems, "the rank of lora_A [r, in] is not that of lora_B [out, r]", shapes);
  } else if (A.shape[0] === 0) {
    note(problems, "the rank is 0", shapes);
  } else return true;
  return false;
}

/**
 * Compares the ranks with the configuration. The rank of a tensor may be that of any entry of rank_pattern that
 * matches: PEFT sorts the entries on saving, which loses the order that decides between them.
 * @returns warnings
 */
function checkRanks(
  pairs: ReadonlyMap<string, LoraPair>,
  config: PeftLoraConfig,
  problems: Findings,
): string[] {
  const ranksOf = patternMatcher(config.rank_pattern);
  const reordered: string[] = [];
  for (const [path, { A }] of pairs) {
    const r = A.shape[0]!;
    const candidates = ranksOf(path);
    const wanted = candidates[0] ?? config.r;
    if (r === wanted) continue;
    if (candidates.includes(r)) reordered.push(path);
    else note(problems, "the rank differs from r and rank_pattern", `${path} (${r}, configured ${wanted})`);
  }
  if (reordered.length === 0) return [];
  return [
    `several keys of rank_pattern match and the first is wrong; the tensors decided: ${listed(reordered)}`,
  ];
}

function note(findings: Findings, text: string, ...names: readonly string[]): void {
  const found = findings.get(text);
  if (found) append(found, names);
  else findings.set(text, [...names]);
}

function withShape({ name, shape }: TensorInfo): string {
  return `${name} [${shape}]`;
}

/** Names of tensors or modules in one line: they are long, so few of them. */
export function listed(names: readonly string[]): string {
  return firstOf(names, 8);
}
