import { loadChats } from "../../data/chat/late-chats.ts";
import { isRowStream } from "../../data/files/is-row-stream.ts";
import type { PreferenceRow } from "../../data/rows/preferences.ts";
import { IGNORE_INDEX } from "../../data/sequence.ts";
import type { PreferenceTask } from "../../data/task-names.ts";
import type { RowEncoding } from "../../data/tokenize/row-encoding.ts";
import { settleMaxLength } from "../../data/tokenize/row-encoding.ts";
import { TOKENIZE_RULES } from "../../data/tokenize/tokenize-options.ts";
import { truncationFor } from "../../data/tokenize/truncation.ts";
import { type LoadedModel, requireTokenizer } from "../../load/model.ts";
import { freePositions } from "../../models/model.ts";
import { pickOptions } from "../../util/options.ts";
import { meanLoss } from "../evaluate.ts";
import type { Objective } from "../objective.ts";
import { measurable } from "../plan/measurable.ts";
import { type CpoOptions, cpo } from "../preferences/cpo.ts";
import { dpo } from "../preferences/dpo.ts";
import { kto } from "../preferences/kto.ts";
import { orpo } from "../preferences/orpo.ts";
import { type ReferencedObjective, withReferenceScores } from "../preferences/reference.ts";
import { rewardModelling } from "../preferences/reward.ts";
import { requireLength } from "../row-sequences.ts";
import { givenRows, givenStream } from "./given-rows.ts";
import {
  type ItemOf,
  judgedOf,
  pairOf,
  preferenceItemSource,
  preferenceItems,
  preferenceRows,
  requirePreferences,
  rewardPairOf,
} from "./preference-items.ts";
import type { RowOptions, TaskItem, TaskItems, TaskKind, TaskModel } from "./task-kind.ts";
import type { ReferenceOptions } from "./tasks.ts";

/** What SimPO's paper and TRL's documentation say, other than CPO's defaults. */
const SIMPO: CpoOptions = { lossType: "simpo", beta: 2, cpoAlpha: 0 };

/** Of these a plan has rows of its own, and what a reference says of items can be asked beforehand. */
type PreferenceKind<T extends PreferenceTask> = Required<TaskKind<T>>;

/** What is made of the options of a task. */
type MakeObjective<T extends PreferenceTask> = TaskKind<T>["objective"];

/** The tasks that learn which answers are better. */
export const PREFERENCE_KINDS: { readonly [T in PreferenceTask]: PreferenceKind<T> } = {
  dpo: kindOf("dpo", pairOf, (model, options) => dpo(model, withoutScores(options))),
  orpo: kindOf("orpo", pairOf, orpo),
  cpo: kindOf("cpo", pairOf, cpo),
  simpo: kindOf("simpo", pairOf, (model, options) => cpo(model, { ...SIMPO, ...options })),
  kto: kindOf("kto", judgedOf, (model, options, { maxLength } = {}) =>
    kto(model, { ...withoutScores(options), ...(maxLength !== undefined && { maxLength }) }),
  ),
  reward: kindOf("reward", rewardPairOf, rewardModelling),
};

function withoutScores<O extends ReferenceOptions>(options: O): Omit<O, "precomputeRefLogProbs"> {
  const { precomputeRefLogProbs: _, ...rest } = options;
  return rest;
}

function kindOf<T extends PreferenceTask>(
  task: T,
  itemOf: ItemOf<TaskItem<T>>,
  objective: MakeObjective<T>,
): PreferenceKind<T> {
  return {
    prepare: (model, rows, options) => prepare(task, model, rows, options, itemOf),
    objective,
    async ready(made, items, options: ReferenceOptions, batchSize) {
      if (!options.precomputeRefLogProbs) return items;
      const referenced = made as Objective<TaskItem<T>> as ReferencedObjective<TaskItem<T>>;
      return withReferenceScores(referenced, items, batchSize === undefined ? {} : { batchSize });
    },
    evaluate: (model, items, options, how, bounds) => meanLoss(objective(model, options, bounds), items, how),
    examples(model, options, count, length) {
      const items = exampleItems(task, count, length) as readonly TaskItem<T>[];
      return measurable(objective(model, options), items);
    },
  };
}

async function prepare<T extends PreferenceTask>(
  task: T,
  model: TaskModel<T>,
  rows: Parameters<TaskKind<T>["prepare"]>[1],
  options: RowOptions,
  itemOf: ItemOf<TaskItem<T>>,
): Promise<TaskItems<T>> {
  const encoding = await preferenceEncoding(task, model, options);
  const { maxLength } = encoding;
  if (isRowStream<PreferenceRow>(rows)) {
    const stream = givenStream<PreferenceRow>(rows, preferenceRows(task));
    const { get } = preferenceItemSource(task, encoding, stream, itemOf);
    const nameOf = (place: number) => stream.nameOf(place);
    const items = { mixture: stream.sets, nameOf, get: (places: readonly number[]) => get(places) };
    return { items, maxLength };
  }
  const given = givenRows(rows, preferenceRows(task), options.nameRow);
  const prepared = preferenceItems(task, encoding, given, itemOf);
  requirePreferences(given.path, prepared);
  const { items, places, report } = prepared;
  return { items, maxLength, report, nameRow: (place) => given.nameOf(places[place] as number) };
}

/** How answers become tokens of a model. */
async function preferenceEncoding(
  task: PreferenceTask,
  model: LoadedModel<"causal-lm" | "sequence-classification">,
  options: RowOptions,
): Promise<RowEncoding> {
  await loadChats();
  const positions = freePositions(model);
  requireLength(options.maxLength, positions);
  const maxLength = settleMaxLength(positions, options.maxLength, () => {});
  const truncation = truncationFor(task, options.truncation);
  const { name, chatTemplates, config } = model;
  return {
    tokenizer: requireTokenizer(model),
    maxLength,
    options: { ...pickOptions(options, TOKENIZE_RULES), maxLength, ...(truncation && { truncation }) },
    model: { name, chatTemplates, embeddingRows: config.vocabSize },
  };
}

/** Rows as long as rows can be, all of whose tokens are the answers': what a plan measures of a task. */
function exampleItems(task: PreferenceTask, count: number, length: number): readonly object[] {
  const inputIds = new Array<number>(length).fill(0);
  const answer = { inputIds, labels: [IGNORE_INDEX, ...inputIds.slice(1)] };
  const item = task === "kto" ? { ...answer, isDesirable: true } : { chosen: answer, rejected: answer };
  return Array.from({ length: count }, () => item);
}
