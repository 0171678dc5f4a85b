import type { HostTensor, StoredAdapter } from "../adapters/codec.ts";
import { configProblems, type PeftConfig, parsePeftConfig } from "../adapters/config-fields.ts";
import { type AnyKind, METHODS, methodKind } from "../adapters/methods.ts";
import { otherTypeRemedy } from "../adapters/remedies.ts";
import { sortTensors } from "../adapters/stored-tensors.ts";
import type { FileSource } from "../io/files/files.ts";
import { peftFileContents, readPeftHeader, readPeftJson, readPeftTensors } from "../io/formats/peft.ts";
import { PEFT_CONFIG, PEFT_WEIGHTS, refuseMlx } from "../io/formats/peft-foreign.ts";
import { describeForeignTensor } from "../io/formats/peft-foreign-tensors.ts";
import type { TensorInfo } from "../io/formats/safetensors.ts";
import { attempt, failAll, type Problem } from "../util/fail.ts";
import { asText } from "../util/json.ts";
import { shown } from "../util/shown.ts";

/** An adapter of PEFT's, with the method that it is of. */
export interface ReadAdapter extends StoredAdapter {
  readonly kind: AnyKind;
}

/**
 * Reads an adapter that PEFT saved, any version, of a method of the registry. Keys may lack the prefix
 * `base_model.model.` and may carry the adapter's name; tensors may be f32, f16, bf16 or f64 (rounded to f32). Each
 * tensor of the file is accounted for: what the engine cannot apply is refused, never dropped.
 * @throws LoraError that lists every problem of both files; for the adapter of another tool it says which.
 */
export async function readStoredAdapter(files: FileSource): Promise<ReadAdapter> {
  await refuseMlx(files);
  const problems: Problem[] = [];
  const json = await attempt(problems, () => readPeftJson(files));
  const where = `${files.label}/${PEFT_CONFIG}`;
  const kind = json && (await attempt(problems, async () => kindOf(json, where)));
  const parsed = kind && (await attempt(problems, async () => parsePeftConfig(kind.codec, json, where)));
  const header = await attempt(problems, () => readPeftHeader(files));
  const infos = [...(header?.tensors.values() ?? [])];
  const sorted = kind && header && sortTensors(infos, kind.codec, parsed?.config, describeForeignTensor);
  const found = sorted?.problems.map((problem) => `${PEFT_WEIGHTS}: ${problem}`) ?? [];
  failAll(files.label, [...problems, ...found], sorted?.remedies);
  const { tensors, shared, saved, base, warnings } = sorted!;
  const all = [...tensors.values(), shared].flatMap((named) => Object.values(named));
  const values = await readPeftTensors(files, [...all, ...saved.values(), ...base.values()]);
  const hosted = ({ name }: TensorInfo) => values.get(name) as HostTensor;
  const stored = {
    config: parsed!.config,
    tensors: mapValues(tensors, (named) => mapRecord(named, hosted)),
    shared: mapRecord(shared, hosted),
    saved: mapValues(saved, hosted),
    base: mapValues(base, hosted),
  };
  const more = kind!.codec.warnings?.(stored) ?? [];
  return { ...stored, kind: kind!, warnings: [...parsed!.warnings, ...warnings, ...more] };
}

/** @throws LoraError where the type is none of the registry's */
function kindOf({ peft_type: type }: Readonly<Record<string, unknown>>, where: string): AnyKind {
  const kind = methodKind(asText(type) ?? "");
  if (kind) return kind;
  const known = METHODS.map(({ type }) => JSON.stringify(type));
  const [are, last] = [known.length > 1 ? "are" : "is", known.join(", ")];
  const problem = `peft_type is ${shown(type)}: only ${last} ${are} supported`;
  return failAll(where, [problem], otherTypeRemedy(asText(type) ?? "")) as never;
}

/** What it takes to write an adapter. */
export type WritableAdapter<C extends PeftConfig = PeftConfig> = Omit<StoredAdapter<C>, "warnings" | "base">;

/**
 * The files of an adapter, byte for byte what PEFT 0.21 saves for the same tensors in f32.
 * @throws LoraError that lists every field that PEFT would not load as meant
 */
export function storedAdapterFiles(
  { codec, type }: AnyKind,
  { config, tensors, shared, saved }: WritableAdapter,
): Map<string, Uint8Array | string> {
  failAll(`${type} adapter`, configProblems(codec, config));
  const entries: [string, HostTensor][] = [
    ...[...tensors].flatMap(([path, named]) =>
      Object.entries(named).flatMap(([name, tensor]): [string, HostTensor][] => {
        const suffix = codec.tensors[name];
        return suffix === undefined ? [] : [[`${PREFIX}${path}.${suffix}`, tensor]];
      }),
    ),
    ...Object.entries(shared).flatMap(([name, tensor]): [string, HostTensor][] => {
      const whole = codec.shared?.[name];
      return whole === undefined ? [] : [[whole, tensor]];
    }),
    ...[...saved].map(([name, tensor]): [string, HostTensor] => {
      return [PREFIX + (codec.fileName?.(name, (path) => tensors.has(path)) ?? name), tensor];
    }),
  ];
  const peft_version = config.peft_version ?? codec.fields.peft_version[0];
  return peftFileContents({ ...config, peft_version }, codec.floats, new Map(entries));
}

/** What PEFT puts before the names of a model's own modules. */
const PREFIX = "base_model.model.";

function mapValues<K, A, B>(map: ReadonlyMap<K, A>, f: (value: A) => B): Map<K, B> {
  return new Map([...map].map(([key, value]) => [key, f(value)]));
}

function mapRecord<A, B>(record: Readonly<Record<string, A>>, f: (value: A) => B): Record<string, B> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, f(value)]));
}
