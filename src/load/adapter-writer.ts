import type { AnyKind, FileLayout, StoredAdapter } from "../adapters/codec.ts";
import { configProblems, type PeftConfig } from "../adapters/config-fields.ts";
import { PEFT_CONFIG } from "../io/formats/peft-names.ts";
import { peftFileContents, tensorEntries } from "../io/formats/peft-writer.ts";
import { writeSafetensors } from "../io/formats/safetensors-writer.ts";
import { pythonJson } from "../io/json/python-json.ts";
import { failAll } from "../util/fail.ts";
import type { HostTensor } from "../util/host-tensor.ts";
import type { JsonObject } from "../util/json.ts";

/** What it takes to write an adapter. */
export type WritableAdapter<C extends PeftConfig = PeftConfig> = Omit<StoredAdapter<C>, "warnings" | "base">;

/**
 * The files of an adapter, byte for byte what PEFT 0.21 saves for the same tensors in f32; or those of the layout that the
 * method has.
 * @throws LoraError that lists every field that would not be loaded as meant
 */
export function storedAdapterFiles(
  { codec, type }: AnyKind,
  { config, tensors, shared, saved }: WritableAdapter,
): Map<string, Uint8Array | string> {
  failAll(`${type} adapter`, configProblems(codec, config));
  const { layout } = codec;
  const nameOf = (path: string, end: string) =>
    layout ? layout.tensorName(path, end, config) : `${PREFIX}${path}.${end}`;
  const sites = [...tensors].flatMap(([path, named]) =>
    Object.entries(named).flatMap(([name, tensor]): [string, HostTensor][] => {
      const end = codec.tensors[name];
      return end === undefined ? [] : [[nameOf(path, end), tensor]];
    }),
  );
  if (layout) return layoutFiles(layout, config, { floats: codec.floats, tensors: new Map(sites), saved });
  const entries: [string, HostTensor][] = [
    ...sites,
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

/** The same in a layout of its own: a head lies beside it. */
function layoutFiles(
  layout: FileLayout<PeftConfig>,
  config: PeftConfig,
  {
    floats,
    tensors,
    saved,
  }: Pick<WritableAdapter, "saved"> & {
    readonly floats: readonly string[];
    readonly tensors: ReadonlyMap<string, HostTensor>;
  },
): Map<string, Uint8Array | string> {
  const text = (json: JsonObject) => pythonJson(json, (key) => floats.includes(key));
  const files = new Map<string, Uint8Array | string>([
    [PEFT_CONFIG, text(layout.json(config))],
    [layout.weights, writeSafetensors(tensorEntries(tensors))],
  ]);
  if (saved.size === 0) return files;
  files.set(layout.head.config, text(layout.headJson(config)));
  files.set(layout.head.weights, writeSafetensors(tensorEntries(saved)));
  return files;
}

/** What PEFT puts before the names of a model's own modules. */
const PREFIX = "base_model.model.";
