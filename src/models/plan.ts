import type { Device } from "../gpu/device.ts";
import type { LayerReplication } from "../nn/replicate.ts";
import type { Weights } from "../nn/weights.ts";
import { LoraError } from "../util/fail.ts";
import { asText } from "../util/json.ts";
import { nearest } from "../util/nearest.ts";
import { shown } from "../util/shown.ts";
import { adaptive } from "./adaptable.ts";
import { ConfigReader, type HfConfig } from "./config-reader.ts";
import type { Family, PreparedModel, StackedModel } from "./family.ts";
import type { AnyModel, Task } from "./model.ts";

/** Families by the architecture names of a `config.json`. */
export type Families = Readonly<Record<string, Family>>;

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
  /** Path of layer 0 without its number, of a model whose layers are stacked anew. */
  readonly layers?: string | undefined;
  build(device: Device, weights: Weights): AnyModel;
}

/**
 * Reads a `config.json` of one of these families.
 * @param task the head that is wanted; unless given, the one that the config names
 * @param layerReplication how its layers are stacked anew; unless given, as they are
 * @throws LoraError of kind `unsupported` for an architecture, a task or a setting that is not implemented.
 */
export function planOf(
  families: Families,
  config: HfConfig,
  task?: Task,
  layerReplication?: LayerReplication,
): ModelPlan {
  const [architecture, family] = findFamily(families, config, task);
  const reader = new ConfigReader(config);
  const prepared = family.prepare(reader);
  reader.finish(architecture);
  const stacked = layerReplication && replicated(prepared, layerReplication, architecture);
  const { config: own, build } = stacked ?? prepared;
  const { defaultTargets, modelType, renames } = family;
  const headModules = HEAD_MODULES[family.task] ?? [];
  const replication = layerReplication && { layerReplication };
  const identity = { defaultTargets, modelType, renames, architecture, headModules, ...replication };
  return {
    architecture,
    family,
    ownConfig: own,
    layers: stacked?.layers,
    build(device, weights) {
      return adaptive({ ...build(device, weights), ...identity }) as AnyModel;
    },
  };
}

function replicated(
  { replicate }: PreparedModel,
  ranges: LayerReplication,
  architecture: string,
): StackedModel {
  const found = replicate?.(ranges) ?? `${architecture} has no list of layers that PEFT would find`;
  if (typeof found !== "string") return found;
  const help = "leave layer_replication out, or give the model that it is made for";
  throw new LoraError("unsupported", "layer_replication", found, help);
}

function findFamily(
  families: Families,
  { architectures, model_type }: HfConfig,
  task: Task | undefined,
): [name: string, family: Family] {
  const given = Array.isArray(architectures) ? architectures.map((name) => asText(name) ?? shown(name)) : [];
  const known = given.find((candidate) => Object.hasOwn(families, candidate));
  const type = known === undefined ? model_type : families[known]?.modelType;
  if (known !== undefined && (task === undefined || families[known]?.task === task)) {
    return [known, families[known] as Family];
  }
  // A config that names another head, or none: the model type has one for the task.
  const ofType = Object.entries(families).filter(([, { modelType }]) => modelType === type);
  const isKin =
    given.length === 0 || given.some((name) => ofType.some(([kin]) => classOf(kin) === classOf(name)));
  if (isKin && (task !== undefined || given.length === 0)) {
    const found = ofType.find(([, family]) => task === undefined || family.task === task);
    if (found) return found;
    if (ofType.length > 0 && task !== undefined) throw unknownHead(asText(type) ?? "", ofType, task);
  }
  throw unknownArchitecture(families, given[0] ?? (typeof model_type === "string" ? model_type : undefined));
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

function unknownArchitecture(families: Families, wanted: string | undefined): LoraError {
  const names = Object.keys(families);
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
