import type { Device } from "../gpu/device.ts";
import type { Weights } from "../nn/weights.ts";
import { LoraError } from "../util/fail.ts";
import { nearest } from "../util/nearest.ts";
import { ConfigReader, type HfConfig } from "./config-reader.ts";
import { DECODER_FAMILIES } from "./decoder-families.ts";
import type { Family } from "./family.ts";
import type { LanguageModel } from "./model.ts";

/** Every architecture name of a `config.json` that can be loaded. Another architecture's file adds its own table here. */
const FAMILIES: Readonly<Record<string, Family>> = { ...DECODER_FAMILIES };

/**
 * Builds the model that a `config.json` describes.
 * @throws LoraError of kind `unsupported` for an architecture, or a setting, that is not implemented.
 */
export function buildModel(device: Device, config: HfConfig, weights: Weights): LanguageModel {
  const [name, family] = findFamily(config);
  const reader = new ConfigReader(config);
  const build = family.prepare(reader);
  reader.finish(name);
  return { ...build(device, weights), defaultTargets: family.defaultTargets };
}

function findFamily({ architectures, model_type }: HfConfig): [name: string, family: Family] {
  const given = Array.isArray(architectures) ? architectures.map(String) : [];
  const name =
    given.length > 0
      ? given.find((candidate) => Object.hasOwn(FAMILIES, candidate))
      : Object.keys(FAMILIES).find((candidate) => FAMILIES[candidate]?.modelType === model_type);
  if (name !== undefined) return [name, FAMILIES[name] as Family];
  const wanted = given[0] ?? (typeof model_type === "string" ? model_type : undefined);
  throw unknownArchitecture(wanted);
}

function unknownArchitecture(wanted: string | undefined): LoraError {
  const names = Object.keys(FAMILIES);
  if (wanted === undefined) {
    const message = "config.json names neither architectures nor model_type";
    return new LoraError("unsupported", "config.json", message, `supported: ${names.join(", ")}`);
  }
  const close = nearestName(wanted, names);
  const message = `architecture ${wanted} is not supported${close ? `; the nearest that is: ${close}` : ""}`;
  return new LoraError("unsupported", "config.json", message, `supported: ${names.join(", ")}`);
}

/** Names end alike (`…ForCausalLM`), so what counts is the rest; of several heads of that model the same one is best. */
function nearestName(wanted: string, names: readonly string[]): string | undefined {
  const stem = (name: string) => name.replace(/(?:For[A-Z]\w*|LMHeadModel|Model)$/, "");
  const close = nearest(stem(wanted), names.map(stem));
  const candidates = names.filter((name) => stem(name) === close);
  const head = wanted.slice(stem(wanted).length);
  return candidates.find((name) => name.endsWith(head)) ?? candidates[0];
}
