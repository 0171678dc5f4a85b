import { checkLabels, labelIndex } from "../data/rows/labelled.ts";
import { headTask, type TrainingTask } from "../data/task-names.ts";
import { shownReference } from "../io/files/address.ts";
import { type FileSource, readJson } from "../io/files/files.ts";
import { withoutQuantisation } from "../io/formats/quantised/settings.ts";
import { LABELS_FILE } from "../load/adapter.ts";
import type { HeadChoice } from "../load/model.ts";
import type { HfConfig } from "../models/config-reader.ts";
import { planModel } from "../models/families.ts";
import type { Task } from "../models/model.ts";
import type { LayerReplication } from "../nn/replicate.ts";
import { fail } from "../util/fail.ts";
import { asText, isObject } from "../util/json.ts";
import { shown } from "../util/shown.ts";
import {
  type AdapterReference,
  adapterReplication,
  adapterSource,
  adapterVocabulary,
  type ChooseHead,
} from "./open.ts";

/** What says which classes the head has. */
export interface LabelSources {
  readonly task: TrainingTask;
  /** `--labels` */
  readonly given: readonly string[];
  /** Adapters, of which the first that names classes brings a head of its own. */
  readonly adapters: readonly (AdapterReference | FileSource)[];
  /** Classes of the data; undefined where the task has none. */
  readonly data: readonly string[] | undefined;
  readonly seed: number;
  /** `--layer-replication` */
  readonly replication?: LayerReplication | undefined;
}

/** The one score of a reward model, by the name that transformers gives to it. */
const REWARD_LABELS = ["LABEL_0"];

/**
 * The classes of the head: those that are named, else those of the adapter, else the model's own where its head is for
 * the task and the data's classes fit it, else the data's.
 */
export function chooseHead(sources: LabelSources): ChooseHead<Task> {
  const { given, adapters, data, seed } = sources;
  const task = headTask(sources.task);
  const choose = async (files: FileSource): Promise<HeadChoice<Task>> => {
    if (sources.task === "reward") return { task, labels: REWARD_LABELS, seed };
    if (data === undefined) return { task, seed };
    if (given.length > 0) return named(given, data, "labels", sources);
    for (const adapter of adapters) {
      const saved = await adapterLabels(adapter);
      if (saved) return named(saved, data, labelOf(adapter), sources);
    }
    const own = await modelLabels(files, task);
    const index = own && labelIndex(own);
    const fits = index !== undefined && data.every((label) => index(label) >= 0);
    if (fits || adapters.length > 0) return { task, seed };
    return named(data, data, "data", sources);
  };
  return async (files) => {
    const layerReplication = sources.replication ?? (await adapterReplication(adapters));
    const resized = await adapterVocabulary(files, adapters);
    return {
      ...(await choose(resized)),
      ...(resized !== files && { files: resized }),
      ...(layerReplication && { layerReplication }),
    };
  };
}

function named(
  labels: readonly string[],
  data: readonly string[],
  where: string,
  { task, seed }: LabelSources,
): HeadChoice<Task> {
  const twice = labels.filter((label, i) => labels.indexOf(label) < i);
  if (twice.length > 0) fail(where, `the class ${twice[0]} is named twice`, "name each class once");
  if (labels.length < 2) fail(where, `there is one class, ${labels[0]}`, "a classifier needs two at least");
  checkLabels(data, labels, "data");
  return { task: headTask(task), labels, seed };
}

function labelOf(adapter: AdapterReference | FileSource): string {
  return "reference" in adapter ? shownReference(adapter.reference) : adapter.label;
}

async function adapterLabels(adapter: AdapterReference | FileSource): Promise<readonly string[] | undefined> {
  const files = "reference" in adapter ? await adapterSource(adapter, () => {}) : adapter; // who loads it warns
  if ((await files.size(LABELS_FILE)) === undefined) return undefined;
  const labels: unknown = await readJson(files, LABELS_FILE);
  if (Array.isArray(labels) && labels.every((label) => typeof label === "string")) return labels;
  return fail(
    `${files.label}/${LABELS_FILE}`,
    "is no list of names",
    'it holds the classes in order, as ["no", "yes"]',
  );
}

/** The classes that the model's config names, where its head is for this task. */
export async function modelLabels(files: FileSource, task: Task): Promise<readonly string[] | undefined> {
  const config = withoutQuantisation((await readJson(files, "config.json")) as HfConfig);
  const { id2label, architectures } = config;
  const isOfTask =
    Array.isArray(architectures) && architectures.includes(planModel(config, task).architecture);
  if (!isObject(id2label) || !isOfTask) return undefined;
  return Object.keys(id2label).map((_, i) => asText(id2label[i]) ?? shown(id2label[i]));
}
