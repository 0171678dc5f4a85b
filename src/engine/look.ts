// What is known of a run before it begins: whether it fits, and what its rows are.
import {
  type InspectedModel,
  type InspectedRow,
  type InspectedTask,
  inspectData,
  type RowsToInspect,
} from "../data/inspect/inspect-data.ts";
import type { InspectedRows } from "../data/inspect/inspect-rows.ts";
import { isPreferenceTask, type TrainingTask } from "../data/task-names.ts";
import { TOKENIZE_RULES } from "../data/tokenize/tokenize-options.ts";
import { factsOf } from "../gpu/shape-device.ts";
import { modelTextLoader, type Reference, SOURCE_RULES } from "../load/loaders.ts";
import { HEAD_RULES, type LoadedModel, OPEN_RULES } from "../load/model.ts";
import { trainingPlanner } from "../load/training-planner.ts";
import type { TrainingPlan } from "../train/plan/plan-training.ts";
import { openTask } from "../train/tasks/open-task.ts";
import { fail } from "../util/fail.ts";
import { pickOptions } from "../util/options.ts";
import { type Handles, methodNamed } from "./handles.ts";
import type { EnginePlatform } from "./platform.ts";
import type {
  EngineInspectOptions,
  EnginePlanOptions,
  EngineRows,
  ModelRef,
  ModelSubject,
} from "./protocol.ts";
import { readRowsGiven, taskOf } from "./rows.ts";

/** Plans a run of a model that is loaded, as it was loaded, or of another one. */
export async function planTraining(
  platform: EnginePlatform,
  handles: Handles,
  subject: ModelSubject,
  { method, rows, ...options }: EnginePlanOptions,
): Promise<TrainingPlan> {
  const device = factsOf(await handles.device());
  const loaded: Partial<ReturnType<typeof loadedAs>> = isLoaded(subject) ? loadedAs(handles, subject) : {};
  const { task = loaded.task } = options;
  const given = rows && (await readRowsGiven(rows, taskOf({ task: "causal-lm" }, { task })));
  const how = { ...pickOptions(options, TOKENIZE_RULES), packing: options.packing ?? false };
  const itemsOf = async (model: LoadedModel) =>
    (await openTask<TrainingTask>("planTraining", model, given ?? [], task ?? model.task, how)).measurable();
  const planned = Object.entries(options).filter(
    ([key]) => key === "maxLength" || !Object.hasOwn(TOKENIZE_RULES, key),
  );
  return trainingPlanner(platform)(await modelOf(handles, subject), {
    ...loaded,
    ...Object.fromEntries(planned),
    ...(task !== undefined && { task }),
    ...(method && { method: methodNamed(method) }),
    ...(given && { rows: itemsOf }),
    device,
  });
}

/** How a model was loaded, with its head. */
function loadedAs(handles: Handles, subject: ModelRef) {
  const options = handles.optionsOf(subject);
  const { task, ...model } = handles.model(subject);
  return {
    ...pickOptions(options, { ...OPEN_RULES, ...HEAD_RULES }),
    task,
    ...("labels" in model && { labels: model.labels }),
  };
}

/** Looks at rows as a model reads them, which need not be loaded. */
export async function inspectRowsGiven(
  platform: EnginePlatform,
  handles: Handles,
  subject: ModelSubject,
  rows: EngineRows<InspectedRow>,
  { judged, ...options }: EngineInspectOptions,
): Promise<InspectedRows> {
  const { task = taskOfSubject(handles, subject), labels } = options;
  const read = async (given: EngineRows<InspectedRow>) => (await readRowsGiven(given, task)) as RowsToInspect;
  const source = pickOptions(options, SOURCE_RULES);
  const head = isPreferenceTask(task) ? "causal-lm" : task;
  const model = isLoaded(subject)
    ? handles.model(subject)
    : await modelTextLoader(platform)(await modelOf(handles, subject), { ...source, task: head, labels });
  const looking = Object.entries(options).filter(([key]) => !Object.hasOwn(SOURCE_RULES, key));
  return inspectData(textOf(model), await read(rows), {
    ...Object.fromEntries(looking),
    task,
    ...(judged && { judged: await read(judged) }),
  });
}

/** What rows are for: what the model was loaded for, and language modelling where none is. */
function taskOfSubject(handles: Handles, subject: ModelSubject): InspectedTask {
  const task = isLoaded(subject) ? handles.model(subject).task : "causal-lm";
  if (task !== "image-classification") return task;
  return fail("inspectData", "the model was loaded for images, and these are no rows of tokens");
}

/** What makes tokens of rows. @throws LoraError where the model sees images */
function textOf(model: LoadedModel | InspectedModel): InspectedModel {
  const { config } = model;
  if ("vocabSize" in config) return model as InspectedModel;
  return fail("inspectData", `${model.name} was loaded for images`, "give a model of texts");
}

const isLoaded = (subject: ModelSubject): subject is ModelRef =>
  typeof subject === "object" && "model" in subject;

/** What the library calls a model by. */
async function modelOf(handles: Handles, subject: ModelSubject): Promise<Reference> {
  if (!isLoaded(subject)) return handles.source(subject);
  const { files, name } = handles.model(subject);
  return files ?? fail("engine", `nobody knows the files of ${name} any more`, "load it again");
}
