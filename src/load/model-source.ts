import type { FileSource } from "../io/files/files.ts";
import { hubLabel } from "../io/files/reference.ts";
import { type CheckpointSource, hasTensors } from "../io/formats/checkpoint.ts";
import { fail } from "../util/fail.ts";

/** A file within what a hub id, an address or a folder names. */
const IN_REPOSITORY = /^([\w.-]+\/[\w.-]+(?:@[^:]+)?):(.+\.gguf)$/i;
const IN_FOLDER = /^(?:(.*)[/\\])?([^/\\]+\.gguf)$/i;
/** One of a repository's GGUF files by its quantisation, as llama.cpp and Ollama write it: `owner/name:Q4_K_M`. */
const BY_TAG = /^([\w.-]+\/[\w.-]+(?:@[^:]+)?):([\w.-]+)$/;

/**
 * What a model's name stands for. A GGUF file is named by its path or address, or on the hub `owner/name:model.gguf` or
 * `owner/name:Q4_K_M`, and stands for a folder of transformers' files.
 * @param resolve the files that a folder, an address or a hub id names
 * @throws LoraError as `ggufModelFiles` does
 */
export async function resolveModel(
  reference: string,
  resolve: (place: string) => Promise<FileSource>,
): Promise<FileSource | CheckpointSource> {
  const [, place = ".", name] = IN_REPOSITORY.exec(reference) ?? IN_FOLDER.exec(reference) ?? [];
  if (name !== undefined) return openGguf(await resolve(place || "/"), name);
  const [, repository, tag] = BY_TAG.exec(reference) ?? [];
  if (repository === undefined || tag === undefined) return asModel(await resolve(reference));
  const files = await resolve(repository);
  const all = await ggufFiles(files);
  const found = ggufModels(all, tag);
  if (found.length === 0 && all.length > 0)
    fail(files.label, `none of its GGUF files is ${tag}: name one of these`, spelled(files, all));
  return (
    (await onlyGguf(files, found)) ?? fail(files.label, `has no GGUF file ${tag}, nor any other`, NO_TAG)
  );
}

const NO_TAG = "leave the tag out for a model in safetensors, or check the name";

/**
 * A folder as a model's, or a repository of the hub: where a GGUF file is the only weights in it, that is the model.
 * @throws LoraError where several could be meant
 */
export async function asModel(files: FileSource | CheckpointSource): Promise<FileSource | CheckpointSource> {
  if (!(files.list || files.index) || (await hasTensors(files))) return files;
  return (await onlyGguf(files, await ggufFiles(files))) ?? files;
}

/** The model that one file is; undefined where there is none. */
async function onlyGguf(
  files: FileSource,
  found: readonly string[],
): Promise<FileSource | CheckpointSource | undefined> {
  const [only, ...others] = found;
  if (others.length > 0)
    fail(
      files.label,
      `has ${found.length} GGUF files that may be meant: name one of these`,
      spelled(files, found),
    );
  return only === undefined ? undefined : openGguf(files, only);
}

async function ggufFiles(files: FileSource): Promise<string[]> {
  return ggufModels((await (files.list ?? files.index)?.call(files)) ?? []);
}

/**
 * The GGUF files that are models, of a repository's: what projects images into one lies beside it, and what quantisers measured.
 * @param tag their quantisation, of those that are wanted; all of them unless given
 */
export function ggufModels(names: readonly string[], tag?: string): string[] {
  const all = names.filter((name) => GGUF.test(name) && !BESIDE.test(name) && !FURTHER.test(name));
  return tag === undefined ? all : all.filter((name) => hasTag(name, tag));
}

/** The repository in a hub id, and the GGUF file or the quantisation that is named behind it. */
export function splitHubId(id: string): {
  readonly repository: string;
  readonly file?: string | undefined;
  readonly tag?: string | undefined;
} {
  const [, place, file] = IN_REPOSITORY.exec(id) ?? [];
  if (place !== undefined) return { repository: place, file };
  const [, repository = id, tag] = BY_TAG.exec(id) ?? [];
  return { repository, tag };
}

const GGUF = /\.gguf$/i;
const BESIDE = /(?:^|[/._-])(?:mmproj|imatrix)/i;
/** The second and later parts of a file that is split. */
const FURTHER = /-(?!00001)\d{5}-of-\d{5}\.gguf$/i;

/** Whether a file has a quantisation in its name: `model-Q4_K_M.gguf` and `Q4_K_M/model.gguf` are `Q4_K_M`, not `Q4_K`. */
function hasTag(name: string, tag: string): boolean {
  const stem = name
    .replace(GGUF, "")
    .replace(/-\d{5}-of-\d{5}$/, "")
    .toLowerCase();
  const wanted = tag.toLowerCase();
  return stem.endsWith(`-${wanted}`) || stem.split(/[/.-]/).includes(wanted);
}

/** How each file is named as a model. */
function spelled({ label, hub }: FileSource, names: readonly string[]): string[] {
  const isOfHub = hub !== undefined && label === hubLabel(hub.repo, hub.revision);
  return names.map((name) => `${label}${isOfHub ? ":" : "/"}${name}`);
}

/** Its readers stay out of a page that opens no such file. */
async function openGguf(files: FileSource, name: string): Promise<CheckpointSource> {
  const { ggufModelFiles } = await import("../io/formats/gguf/model-files.ts");
  return ggufModelFiles(files, name);
}
