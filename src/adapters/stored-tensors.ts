import { append } from "../util/arrays.ts";
import { firstOf } from "../util/group-lines.ts";
import { escapeRegExp } from "../util/regexp/python.ts";
import type { Note, SortedTensors, StoredInfo, TensorKind, TensorNames } from "./codec.ts";
import { type Fields, type PeftConfig, trainedWhole } from "./config-fields.ts";
import { isTensorOf } from "./trained-whole.ts";

/** A file's tensors by what they are, and what is wrong. They are complete only where there are no problems. */
export interface Sorting<T> extends SortedTensors<T> {
  readonly problems: readonly string[];
  /** What can be done about tensors that are not supported. */
  readonly remedies: readonly string[];
  readonly warnings: readonly string[];
}

/** Segments that torch.compile, FSDP and activation checkpointing put into names. */
const WRAPPERS = /(?<=^|\.)(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\./g;
const PREFIX = /^(?:base_model\.(?:model\.)?)+/;
const SAVE_AGAIN =
  "the two files do not belong together or are damaged: take both of one adapter, as PEFT's save_pretrained wrote them";
const NO_PREFIX =
  "the tensors' names lack the prefix base_model.model.; PEFT would load none of them and say little";
const BASE_WEIGHT = /^(.+?)(?:\.token_adapter)?\.base_layer\.weight$/;
/** PEFT keeps all of a matrix of the vocabulary that is trained whole where the vocabulary was resized: these beside its own name. */
const WRAPPED = /^(.+)\.(modules_to_save|original_module)\.([^.]+)$/;
const FLOATS = ["F32", "F16", "BF16", "F64"];

/**
 * Sorts the tensors of `adapter_model.safetensors` by what they are, and checks them.
 * @param config undefined where the configuration could not be read
 * @param describeForeign what a tensor is that belongs to no method's files
 */
export function sortTensors<T extends StoredInfo, C extends PeftConfig>(
  infos: readonly T[],
  codec: Fields<C> & TensorNames<C>,
  config: C | undefined,
  describeForeign: (name: string) => TensorKind | undefined,
): Sorting<T> {
  const problems = new Map<string, string[]>();
  const note: Note = (what, ...names) => {
    const found = problems.get(what);
    if (found) append(found, names);
    else problems.set(what, [...names]);
  };
  const keys = infos.map((info) => ({ info, ...parseName(info.name, codec) }));
  const whole = config ? trainedWhole(config) : [];
  const tensors = new Map<string, Record<string, T>>();
  const shared: Record<string, T> = {};
  const saved = new Map<string, T>();
  const base = new Map<string, T>();
  const sites = new Set(keys.flatMap(({ site }) => site?.path ?? []));
  const remedies = new Set<string>();
  for (const { info, plain, site, sharedName } of keys) {
    const own = codec.ownTensor?.(plain, config);
    const foreign = site || sharedName !== undefined ? describeForeign(info.name) : undefined;
    if (site && !foreign) {
      const there = tensors.get(site.path) ?? {};
      if (there[site.name]) note("two tensors for the same place", info.name);
      tensors.set(site.path, { ...there, [site.name]: info });
    } else if (sharedName !== undefined && !foreign) {
      shared[sharedName] = info;
    } else if (sites.has(BASE_WEIGHT.exec(plain)?.[1] ?? "")) {
      base.set(plain.replace(BASE_WEIGHT, "$1.weight"), info);
    } else if (whole.some((name) => isTensorOf(plain, name))) {
      const [, path, part, tensor] = WRAPPED.exec(plain) ?? [];
      const name = path === undefined ? plain : `${path}.${tensor}`;
      if (part === "original_module") base.set(name, info);
      else if (part === undefined || !saved.has(name)) saved.set(name, info);
    } else if (own !== undefined) {
      saved.set(own, info);
    } else {
      const kind = describeForeign(info.name) ?? codec.foreign?.(info.name, config);
      if (!kind && codec.isKept?.(plain)) {
        saved.set(plain, info);
        continue;
      }
      const { what, remedy } = kind ?? NOT_NAMED;
      note(what, withShape(info));
      remedies.add(remedy);
      continue;
    }
    if (!FLOATS.includes(info.dtype)) note(`${info.dtype} in place of ${FLOATS.join(", ")}`, withShape(info));
  }
  const named = keys.flatMap(({ site }) => site ?? []);
  const names = new Set(named.map(({ adapter }) => adapter ?? "(no name)"));
  if (names.size > 1) note("tensors of several adapters in one file", ...names);
  const warnings = [...codec.check(tensors, config, note)];
  const isEmpty = tensors.size === 0 && Object.keys(shared).length === 0 && problems.size === 0;
  if (isEmpty) note(`no tensor of ${codec.fields.peft_type[0]}`, `${infos.length} tensors`);
  if (problems.size > 0 && remedies.size === 0) remedies.add(SAVE_AGAIN);
  if (!codec.writer && keys.some(({ site, prefixed }) => site && !prefixed)) warnings.push(NO_PREFIX);
  return {
    tensors,
    shared,
    saved,
    base,
    problems: [...problems].map(([text, found]) => `${text}: ${listed(found)}`),
    remedies: [...remedies],
    warnings,
  };
}

const NOT_NAMED: TensorKind = {
  what: "tensors of the base model, of modules that modules_to_save does not name",
  remedy:
    "PEFT puts them into the base model without a word: where they were trained, name their modules in modules_to_save of adapter_config.json; else take them out of the file",
};

/** What a name says: the module and which tensor of it, with the adapter's name where that is in it. */
interface ParsedName {
  /** Without prefixes and wrappers. */
  readonly plain: string;
  readonly prefixed: boolean;
  readonly site?: { readonly path: string; readonly name: string; readonly adapter: string | undefined };
  readonly sharedName?: string;
}

function parseName<C>(name: string, { tensors, shared = {} }: TensorNames<C>): ParsedName {
  const unwrapped = name.replace(WRAPPERS, "");
  const plain = unwrapped.replace(PREFIX, "");
  const parsed = { plain, prefixed: PREFIX.test(unwrapped) };
  const sharedName = Object.keys(shared).find((key) => shared[key]?.replace(PREFIX, "") === plain);
  if (sharedName !== undefined) return { ...parsed, sharedName };
  for (const [own, suffix] of Object.entries(tensors)) {
    const [, path, adapter] = siteKey(suffix).exec(plain) ?? [];
    const isInner = path?.split(".").includes("base_layer");
    if (path !== undefined && !isInner) return { ...parsed, site: { path, name: own, adapter } };
  }
  return parsed;
}

/** PEFT drops the adapter's name on saving, other savers leave it in, behind the first part of the tensor's name. */
function siteKey(suffix: string): RegExp {
  const [first = "", ...rest] = suffix.split(".").map(escapeRegExp);
  const end = rest.map((part) => `\\.${part}`).join("");
  return new RegExp(`^(.+)\\.${first}(?:\\.([^.]+))?${end}$`);
}

/** Notes the sites that lack a tensor which others of its kind have. */
export function requireTogether(
  tensors: SortedTensors<StoredInfo>["tensors"],
  names: readonly string[],
  note: Note,
): void {
  for (const [path, there] of tensors) {
    const has = names.filter((name) => there[name]);
    const lacks = names.filter((name) => !there[name]);
    if (has.length > 0 && lacks.length > 0) note(`${has.join(", ")} without ${lacks.join(", ")}`, path);
  }
}

function withShape({ name, shape }: StoredInfo): string {
  return `${name} [${shape}]`;
}

/** Names of tensors or modules in one line: they are long, so few of them. */
export function listed(names: readonly string[]): string {
  return firstOf(names, 8);
}
