import type { Device } from "../gpu/device.ts";
import type { Checkpoint } from "../io/formats/checkpoint.ts";
import { fuseExperts, quantisedExpert } from "../io/formats/fused-experts.ts";
import { unreadExperts } from "../io/formats/quantised/unread.ts";
import type { HfConfig } from "../models/config-reader.ts";
import type { Task } from "../models/model.ts";
import { openPlan } from "../models/open-plan.ts";
import type { ModelPlan } from "../models/plan.ts";
import { shapeWeights } from "../nn/initial-weights.ts";
import type { LayerReplication } from "../nn/replicate.ts";
import { failAll } from "../util/fail.ts";
import { firstLines, groupLines, shortList } from "../util/group-lines.ts";
import { explainNames, findTensors, type StoredTensors } from "./stored-tensors.ts";
import { settleTies } from "./ties.ts";

/** Which model a checkpoint is of, and where each of its tensors lies. */
export interface Layout extends ModelPlan, StoredTensors {
  /** With `tie_word_embeddings: false` where the weights say so. */
  readonly config: HfConfig;
  /** Every name that the model asks its weights for. */
  readonly names: ReadonlySet<string>;
  readonly warnings: readonly string[];
}

/**
 * Plans a model by its config and finds its tensors in the checkpoint. Nothing is allocated, and of the weights only
 * an output layer is read that the config calls shared.
 * @throws LoraError as {@link planModel} does, where two tensors stand for one of the model's, and where its experts are quantised one by one
 */
export async function layOutModel(
  device: Device,
  checkpoint: Checkpoint,
  config: HfConfig,
  task: Task | undefined,
  layerReplication?: LayerReplication,
): Promise<Layout> {
  const plan = await openPlan(config, task, layerReplication);
  const { names, tied } = shapeOf(device, plan);
  const expert = quantisedExpert(checkpoint.tensors);
  if (expert && [...names].some((name) => name.includes(".experts.")))
    throw unreadExperts(checkpoint, expert);
  const ties = tied ? plan.family.ties : [];
  const known = new Set([...names, ...ties.map(([copy]) => copy)]);
  const tensors = fuseExperts(checkpoint.tensors);
  const { problems, ...found } = findTensors({ ...checkpoint, tensors }, plan.family, known);
  failAll(checkpoint.label, problems, "in Python, load the model with transformers and save it again");
  const { untied, warnings } = await settleTies(checkpoint, found.tensors, ties);
  const all = { ...found, warnings: [...checkpoint.warnings, ...warnings] };
  if (!untied) return { ...plan, ...all, names, config };
  const own = { ...config, tie_word_embeddings: false };
  const ownPlan = await openPlan(own, task, layerReplication);
  return { ...ownPlan, ...all, names: shapeOf(device, ownPlan).names, config: own };
}

/** Every name that a planned model asks its weights for. */
function shapeOf(device: Device, { build }: ModelPlan): { names: Set<string>; tied: boolean } {
  const { root, requests } = shapeWeights(device);
  const model = build(device, root);
  model.release();
  return { names: new Set(requests.map(({ name }) => name)), tied: "tied" in model && model.tied };
}

/** What to say where tensors are missing: what is there instead, and what may have happened. */
export function explainMissing({ unused, tensors, family, absent, names }: Layout): {
  remarks: readonly string[];
  help?: string;
} {
  const alien = groupLines(unused.map((name) => `${name} is there, and no tensor of the model`));
  const remarks = firstLines(alien, LINES);
  const wrapped = explainNames(unused);
  if (wrapped !== undefined) return { remarks, help: wrapped };
  if ([...absent.keys()].some((name) => names.has(name) && !tensors.has(name))) {
    return { remarks, help: "the copy is not complete: get every file that the index names" };
  }
  const untied = family.ties.find(
    ([copy, source]) => names.has(copy) && !tensors.has(copy) && tensors.has(source),
  );
  if (untied === undefined) return { remarks };
  const help = `config.json and the weights do not belong together; if the only thing missing is ${untied[0]}, because it is shared with ${untied[1]}, write "tie_word_embeddings": true into config.json`;
  return { remarks, help };
}

/** Lines on tensors that are not asked for, the count of the others among them. */
const LINES = 6;

/** A remark about tensors that are there and not read, where there are any. */
export function describeUnused({ unused }: Layout): string | undefined {
  if (unused.length === 0) return undefined;
  const [what, them] = unused.length === 1 ? ["a tensor is", "it"] : [`${unused.length} tensors are`, "them"];
  return `${what} not used, since the model of config.json has no place for ${them}: ${shortList(unused)}`;
}

/**
 * A remark about tensors that the index names, no file holds and the model doesn't need.
 * @param initialised those that it needs, and that start at random
 */
export function describeAbsent({ absent }: Layout, initialised: readonly string[]): string | undefined {
  const needless = [...absent.keys()].filter((name) => !initialised.includes(name));
  if (needless.length === 0) return undefined;
  return `the index names tensors that no file holds; the model does without them: ${shortList(needless)}`;
}
