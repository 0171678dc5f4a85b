import type { AnyKind, StoredAdapter } from "../adapters/codec.ts";
import { parsePeftConfig } from "../adapters/config-fields.ts";
import { methodKinds } from "../adapters/method-kinds.ts";
import { otherTypeRemedy } from "../adapters/remedies.ts";
import { sortTensors } from "../adapters/stored-tensors.ts";
import { type FileSource, readJson } from "../io/files/files.ts";
import { readPeftHeader, readPeftTensors, requirePeftJson } from "../io/formats/peft.ts";
import { refuseMlx } from "../io/formats/peft-foreign.ts";
import { describeForeignTensor } from "../io/formats/peft-foreign-tensors.ts";
import { PEFT_CONFIG, PEFT_WEIGHTS } from "../io/formats/peft-names.ts";
import type { TensorInfo } from "../io/formats/safetensors.ts";
import { attempt, failAll, type Problem } from "../util/fail.ts";
import type { HostTensor } from "../util/host-tensor.ts";
import { asText, isObject, type JsonObject } from "../util/json.ts";
import { shown } from "../util/shown.ts";

/** An adapter of PEFT's, with the method that it is of. */
export interface ReadAdapter extends StoredAdapter {
  readonly kind: AnyKind;
}

/** A configuration of a method of the registry, its fields not checked yet. */
interface FoundConfig {
  readonly kind: AnyKind;
  /** By the codec's names. */
  readonly json: JsonObject;
}

/**
 * Reads an adapter that PEFT saved, any version, or another program whose files a method of the registry has. Keys may lack the
 * prefix `base_model.model.` and may carry the adapter's name; tensors may be f32, f16, bf16 or f64 (rounded to f32). Each
 * tensor of the file is accounted for: what the engine cannot apply is refused, never dropped.
 * @throws LoraError that lists every problem of both files; for the adapter of another tool it says which.
 */
export async function readStoredAdapter(files: FileSource): Promise<ReadAdapter> {
  await refuseMlx(files);
  const problems: Problem[] = [];
  const where = `${files.label}/${PEFT_CONFIG}`;
  const json = await attempt(problems, () => readJson(files, PEFT_CONFIG));
  const found = json === undefined ? undefined : await attempt(problems, () => foundIn(json, where));
  const { kind, json: fields = {} } = found ?? {};
  const parsed = kind && (await attempt(problems, async () => parsePeftConfig(kind.codec, fields, where)));
  const layout = kind?.codec.layout;
  const weights = layout?.weights ?? PEFT_WEIGHTS;
  const header = await attempt(problems, () => readPeftHeader(files, weights));
  const infos = [...(header?.tensors.values() ?? [])];
  const sorted = kind && header && sortTensors(infos, kind.codec, parsed?.config, describeForeignTensor);
  const wrong = sorted?.problems.map((problem) => `${weights}: ${problem}`) ?? [];
  const head = await attempt(problems, () => readHead(files, layout?.head.weights));
  failAll(files.label, [...problems, ...wrong], sorted?.remedies);
  const { tensors, shared, saved, base, warnings } = sorted!;
  const all = [...tensors.values(), shared].flatMap((named) => Object.values(named));
  const values = await readPeftTensors(files, [...all, ...saved.values(), ...base.values()], weights);
  const hosted = ({ name }: TensorInfo) => values.get(name) as HostTensor;
  const stored = {
    config: parsed!.config,
    tensors: mapValues(tensors, (named) => mapRecord(named, hosted)),
    shared: mapRecord(shared, hosted),
    saved: new Map([...mapValues(saved, hosted), ...(head ?? [])]),
    base: mapValues(base, hosted),
  };
  const more = kind!.codec.warnings?.(stored) ?? [];
  return { ...stored, kind: kind!, warnings: [...parsed!.warnings, ...warnings, ...more] };
}

/** The tensors of a head's own file, by the model's names; none where there is no such file. */
async function readHead(files: FileSource, name: string | undefined): Promise<Map<string, HostTensor>> {
  if (name === undefined || (await files.size(name)) === undefined) return new Map();
  const { tensors } = await readPeftHeader(files, name);
  return readPeftTensors(files, [...tensors.values()], name);
}

/** A configuration that is not PEFT's; undefined where it is. */
export async function ofOwnLayout(json: unknown): Promise<FoundConfig | undefined> {
  for (const kind of await methodKinds()) {
    const own = isObject(json) ? kind.codec.layout?.fields(json) : undefined;
    if (own) return { kind, json: own };
  }
  return undefined;
}

/** Whose configuration a value of `adapter_config.json` is. @throws LoraError where it is that of no method of the registry */
async function foundIn(json: unknown, where: string): Promise<FoundConfig> {
  const own = await ofOwnLayout(json);
  if (own) return own;
  const peft = requirePeftJson(json, where);
  return { kind: kindOf(peft, await methodKinds(), where), json: peft };
}

/** @throws LoraError where the type is none of the registry's */
function kindOf({ peft_type: type }: JsonObject, kinds: readonly AnyKind[], where: string): AnyKind {
  const kind = kinds.find((kind) => kind.type === type);
  if (kind && !kind.codec.layout) return kind;
  const known = kinds.filter(({ codec }) => !codec.layout).map(({ type }) => JSON.stringify(type));
  const [are, last] = [known.length > 1 ? "are" : "is", known.join(", ")];
  const problem = `peft_type is ${shown(type)}: only ${last} ${are} supported`;
  return failAll(where, [problem], otherTypeRemedy(asText(type) ?? "")) as never;
}

function mapValues<K, A, B>(map: ReadonlyMap<K, A>, f: (value: A) => B): Map<K, B> {
  return new Map([...map].map(([key, value]) => [key, f(value)]));
}

function mapRecord<A, B>(record: Readonly<Record<string, A>>, f: (value: A) => B): Record<string, B> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, f(value)]));
}
