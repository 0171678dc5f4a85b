import { isPaired, type PreferenceRow } from "../data/rows/preferences.ts";
import { IGNORE_INDEX } from "../data/sequence.ts";
import type { EncodedAnswer } from "../data/tokenize/encode-preference.ts";
import type { LoadedModel } from "../load/model.ts";
import { requireTask } from "../models/model.ts";
import { type MeanLoss, meanLoss } from "../train/evaluate.ts";
import { type Measurable, measurable } from "../train/plan/measurable.ts";
import { cpo } from "../train/preferences/cpo.ts";
import { dpo } from "../train/preferences/dpo.ts";
import { kto, type ScoredAnswer } from "../train/preferences/kto.ts";
import { orpo } from "../train/preferences/orpo.ts";
import type { ScoredPair } from "../train/preferences/pairs.ts";
import { type ReferencedObjective, withReferenceScores } from "../train/preferences/reference.ts";
import { type RewardPair, rewardModelling } from "../train/preferences/reward.ts";
import { describeMetrics } from "./format-measures.ts";
import { type ItemOf, preferenceRows, preparePreferences, streamPreferences } from "./preference-rows.ts";
import { preferenceOptions } from "./preference-settings.ts";
import type { DataSettings } from "./sequences.ts";
import { tables } from "./tables-of-rows.ts";
import { type TaskCommand, type TaskEvaluation, type TaskParts, taskCommand } from "./task.ts";
import type { PreferenceTask } from "./task-names.ts";

/** The tasks that learn which answers are better. */
export const PREFERENCE_COMMANDS: Readonly<Record<PreferenceTask, TaskCommand>> = {
  dpo: comparing("dpo", pairOf, dpo),
  orpo: comparing("orpo", pairOf, orpo),
  cpo: comparing("cpo", pairOf, cpo),
  simpo: comparing("simpo", pairOf, cpo),
  kto: comparing("kto", judgedOf, (model, options, { max_length }) => {
    return kto(model, { ...options, ...(max_length !== undefined && { maxLength: max_length }) });
  }),
  reward: taskCommand<"sequence-classification", PreferenceRow, RewardPair>({
    task: "sequence-classification",
    ...rowParts("reward", rewardPairOf),
    objective: (model, settings) => rewardModelling(model, preferenceOptions("reward", settings)),
    evaluate: async (model, items, options, settings) => {
      const objective = rewardModelling(model, preferenceOptions("reward", settings));
      return describePreferences(await meanLoss(objective, items, options), "pairs");
    },
  }),
};

/** Rows as long as rows can be, all of whose tokens are the answers': what a plan measures of a task. */
export function preferenceExamples(
  task: PreferenceTask,
  model: LoadedModel,
  settings: DataSettings,
  count: number,
  length: number,
): Measurable {
  const inputIds = new Array<number>(length).fill(0);
  const answer = { inputIds, labels: [IGNORE_INDEX, ...inputIds.slice(1)] };
  const rows = <T>(row: T) => Array.from({ length: count }, () => row);
  const pairs = rows({ chosen: answer, rejected: answer });
  const options = preferenceOptions(task, settings);
  if (task === "reward") {
    return measurable(rewardModelling(requireTask(model, "sequence-classification"), options), pairs);
  }
  const languageModel = requireTask(model, "causal-lm");
  if (task === "kto") return measurable(kto(languageModel, options), rows({ ...answer, isDesirable: true }));
  return measurable({ dpo, orpo, cpo, simpo: cpo }[task](languageModel, options), pairs);
}

/** A task that compares what a language model says of answers. */
function comparing<I>(
  task: Exclude<PreferenceTask, "reward">,
  itemOf: ItemOf<I>,
  make: (model: LoadedModel<"causal-lm">, options: object, settings: DataSettings) => ReferencedObjective<I>,
): TaskCommand {
  const objective = (model: LoadedModel<"causal-lm">, settings: DataSettings) =>
    make(model, preferenceOptions(task, settings), settings);
  const parts: TaskParts<"causal-lm", PreferenceRow, I> = {
    task: "causal-lm",
    ...rowParts(task, itemOf),
    objective,
    async ready(model, items, batchSize, settings, note) {
      if (!settings.precompute_ref_log_probs) return items;
      note(`Asking the reference for its scores of ${items.length} rows`);
      return withReferenceScores(objective(model, settings), items, { batchSize });
    },
    async evaluate(model, items, options, settings) {
      const what = task === "kto" ? "answers" : "pairs";
      return describePreferences(await meanLoss(objective(model, settings), items, options), what);
    },
  };
  return taskCommand(parts);
}

/** How the rows of a task are read, and become items. */
function rowParts<I>(task: PreferenceTask, itemOf: ItemOf<I>) {
  type Given = Parameters<typeof preparePreferences<I>>;
  type Streamed = Parameters<typeof streamPreferences<I>>;
  return {
    ...tables<PreferenceRow>({ reader: () => preferenceRows(task) }),
    prepare: (model: Given[1], file: Given[2], settings: Given[3], note: Given[4]) =>
      preparePreferences(task, model, file, settings, note, itemOf),
    stream: (model: Streamed[1], stream: Streamed[2], settings: Streamed[3], note: Streamed[4]) =>
      streamPreferences(task, model, stream, settings, note, itemOf),
  };
}

type Answers = readonly EncodedAnswer[];

const sequenceOf = ({ row: { inputIds, labels } }: EncodedAnswer) => ({ inputIds, labels });

function pairOf(answers: Answers): ScoredPair {
  const [chosen, rejected] = answers as [EncodedAnswer, EncodedAnswer];
  return { chosen: sequenceOf(chosen), rejected: sequenceOf(rejected) };
}

function judgedOf(answers: Answers): ScoredAnswer {
  const [answer] = answers as [EncodedAnswer];
  return { ...sequenceOf(answer), isDesirable: answer.name === "desirable" };
}

function rewardPairOf(answers: Answers, row: PreferenceRow): RewardPair {
  const margin = isPaired(row) ? row.margin : undefined;
  return { ...pairOf(answers), ...(margin !== undefined && { margin }) };
}

/** An evaluation as lines. */
function describePreferences({ loss, terms, metrics = {} }: MeanLoss, what: string): TaskEvaluation {
  const lines = Object.entries(metrics).map(([name, value]) => `  ${name.padEnd(18)} ${value.toFixed(4)}`);
  return {
    loss,
    summary: describeMetrics(metrics),
    lines: [`Test loss ${loss.toFixed(4)} over ${terms} ${what}.`, ...lines],
    json: { loss, terms, ...metrics },
  };
}
