import type { Device } from "../gpu/device.ts";
import type { LayerReplication } from "../nn/replicate.ts";
import type { Weights } from "../nn/weights.ts";
import { LoraError } from "../util/fail.ts";
import { asText } from "../util/json.ts";
import { nearest } from "../util/nearest.ts";
import { shown } from "../util/shown.ts";
import { adaptive } from "./adaptable.ts";
import { CLASSIC_FAMILIES } from "./classic-families.ts";
import { ConfigReader, type HfConfig } from "./config-reader.ts";
import { DECODER_FAMILIES } from "./decoder-families.ts";
import { ENCODER_FAMILIES } from "./encoder-families.ts";
import type { Family, PreparedModel } from "./family.ts";
import type { AnyModel, Task } from "./model.ts";
import { VISION_FAMILIES } from "./vision-families.ts";

/** Every architecture name of a `config.json` that can be loaded. Another architecture's file adds its own table here. */
const FAMILIES: Readonly<Record<string, Family>> = {
  ...DECODER_FAMILIES,
  ...CLASSIC_FAMILIES,
  ...ENCODER_FAMILIES,
  ...VISION_FAMILIES,
};

/** Modules of a head, which PEFT trains whole with an adapter; the names that it tries where the task is one of its own. */
const HEAD_MODULES: Partial<Record<Task, readonly string[]>> = {
  "sequence-classification": ["classifier", "score"],
  "token-classification": ["classifier", "score"],
  "image-classification": ["classifier"],
};

/** A model that a `config.json` describes, before it is built. */
export interface ModelPlan {
  /** Name of the class in transformers. */
  readonly architecture: string;
  readonly family: Family;
  /** The architecture's own config. */
  readonly ownConfig: object;
  build(device: Device, weights: Weights): AnyModel;
}

/**
 * Reads a `config.json`.
 * @param task the head that is wanted; unless given, the one that the config names
 * @param layerReplication how its layers are stacked anew; unless given, as they are
 * @throws LoraError of kind `unsupported` for an architecture, a task or a setting that is not implemented.
 */
export function planModel(config: HfConfig, task?: Task, layerReplication?: LayerReplication): ModelPlan {
  const [architecture, family] = findFamily(config, task);
  const reader = new ConfigReader(config);
  const prepared = family.prepare(reader);
  reader.finish(architecture);
  const { config: own, build } = layerReplication
    ? replicated(prepared, layerReplication, architecture)
    : prepared;
  const { defaultTargets, modelType, renames } = family;
  const headModules = HEAD_MODULES[family.task] ?? [];
  const replication = layerReplication && { layerReplication };
  const identity = { defaultTargets, modelType, renames, architecture, headModules, ...replication };
  return {
    architecture,
    family,
    ownConfig: own,
    build(device, weights) {
      return adaptive({ ...build(device, weights), ...identity }) as AnyModel;
    },
  };
}

function replicated(
  { replicate }: PreparedModel,
  ranges: LayerReplication,
  architecture: string,
): Pick<PreparedModel, "config" | "build"> {
  const found = replicate?.(ranges) ?? `${architecture} has no list of layers that PEFT would find`;
  if (typeof found !== "string") return found;
  const help = "leave layer_replication out, or give the model that it is made for";
  throw new LoraError("unsupported", "layer_replication", found, help);
}

/** What the head of a class of transformers is for; undefined for a class that is not known here. */
export function taskOfArchitecture(architecture: string): Task | undefined {
  return Object.hasOwn(FAMILIES, architecture) ? FAMILIES[architecture]?.task : undefined;
}

/** Builds the model that a `config.json` describes. @throws as {@link planModel} does */
export function buildModel(device: Device, config: HfConfig, weights: Weights, task?: Task): AnyModel {
  return planModel(config, task).build(device, weights);
}

function findFamily(
  { architectures, model_type }: HfConfig,
  task: Task | undefined,
): [name: string, family: Family] {
  const given = Array.isArray(architectures) ? architectures.map((name) => asText(name) ?? shown(name)) : [];
  const known = given.find((candidate) => Object.hasOwn(FAMILIES, candidate));
  const type = known === undefined ? model_type : FAMILIES[known]?.modelType;
  if (known !== undefined && (task === undefined || FAMILIES[known]?.task === task)) {
    return [known, FAMILIES[known] as Family];
  }
  // A config that names another head, or none: the model type has one for the task.
  const ofType = Object.entries(FAMILIES).filter(([, { modelType }]) => modelType === type);
  const isKin =
    given.length === 0 || given.some((name) => ofType.some(([kin]) => classOf(kin) === classOf(name)));
  if (isKin && (task !== undefined || given.length === 0)) {
    const found = ofType.find(([, family]) => task === undefined || family.task === task);
    if (found) return found;
    if (ofType.length > 0 && task !== undefined) throw unknownHead(asText(type) ?? "", ofType, task);
  }
  throw unknownArchitecture(given[0] ?? (typeof model_type === "string" ? model_type : undefined));
}

/** `Bert` of `BertForMaskedLM`, `BertModel` and their like. */
function classOf(architecture: string): string {
  return architecture.replace(/(?:For|LMHead|Model|PreTrained).*$/, "");
}

function unknownHead(type: string, there: readonly [string, Family][], task: Task): LoraError {
  const tasks = there.map(([, family]) => family.task).join(", ");
  const help = `name the task; it has: ${tasks}`;
  return new LoraError("unsupported", "config.json", `${type} has no head for ${task}`, help);
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

/** Names share their endings (`…ForCausalLM`), so the rest counts; of several heads of that model the same one is best. */
function nearestName(wanted: string, names: readonly string[]): string | undefined {
  const stem = (name: string) => name.replace(/(?:For[A-Z]\w*|LMHeadModel|Model)$/, "");
  const close = nearest(stem(wanted), names.map(stem));
  const candidates = names.filter((name) => stem(name) === close);
  const head = wanted.slice(stem(wanted).length);
  return candidates.find((name) => name.endsWith(head)) ?? candidates[0];
}
