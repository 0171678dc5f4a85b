import type { RgbImage } from "../../data/images/images.ts";
import type { PreferenceReport, TaskReport } from "../../data/inspect/report.ts";
import type { Example, TextExample } from "../../data/rows/examples.ts";
import type { PairedTexts, TaggedWords, TextWithLabel } from "../../data/rows/labelled.ts";
import type { PreferenceExample, PreferenceRow } from "../../data/rows/preferences.ts";
import type { LabelledTokens, Sequence } from "../../data/sequence.ts";
import type { TrainingTask } from "../../data/task-names.ts";
import type { TokenizeReport } from "../../data/tokenize/tokenize-report.ts";
import type { Task } from "../../models/model.ts";
import type { LabelledImage, LabelledText } from "../classification.ts";
import type { ContrastiveOptions, TextPair } from "../contrastive.ts";
import type { Evaluation, MeanLoss } from "../evaluate.ts";
import type { ClassifierEvaluation, TaggerEvaluation } from "../evaluate-classifier.ts";
import type { CpoOptions } from "../preferences/cpo.ts";
import type { DpoOptions } from "../preferences/dpo.ts";
import type { KtoOptions, ScoredAnswer } from "../preferences/kto.ts";
import type { OrpoOptions } from "../preferences/orpo.ts";
import type { ScoredPair } from "../preferences/pairs.ts";
import type { RewardOptions, RewardPair } from "../preferences/reward.ts";

/** Of tasks that are told nothing. */
export type NoTaskOptions = Readonly<Record<never, never>>;

/** Of tasks that compare a model with a reference. */
export interface ReferenceOptions {
  /** Asks the reference for its scores of all rows before the first step, so that no epoch asks again; false unless given. */
  precomputeRefLogProbs?: boolean;
}

/** An image and the name of its class. */
export interface ImageRow {
  /** Decoded, as `decodeImage` gives it; or what gives it, so that no more than one is in memory as it was. */
  readonly image: RgbImage | (() => Promise<RgbImage>);
  /** The name of its class. */
  readonly label: string;
}

/** What a task learns from and is judged by. */
interface TaskParts<Head extends Task, Row, Item, Options, Report, Judged> {
  /** Whose head the model has. */
  readonly head: Head;
  /** What a row holds. */
  readonly row: Row;
  /** What a row becomes. */
  readonly item: Item;
  /** What the task may be told. */
  readonly options: Options;
  /** What is said of all rows. */
  readonly report: Report;
  /** What an evaluation comes to. */
  readonly evaluation: Judged;
}

/** Every task: what it learns from, what it may be told, and what an evaluation says. */
export interface TrainingTasks {
  /** The next token. */
  "causal-lm": TaskParts<"causal-lm", Example, Sequence, NoTaskOptions, TokenizeReport, Evaluation>;
  /** Tokens that are hidden. */
  "masked-lm": TaskParts<"masked-lm", TextExample, LabelledTokens, NoTaskOptions, TaskReport, MeanLoss>;
  /** The class of a text, or of a pair of texts. */
  "sequence-classification": TaskParts<
    "sequence-classification",
    TextWithLabel,
    LabelledText,
    NoTaskOptions,
    TaskReport,
    ClassifierEvaluation
  >;
  /** The class of each word. */
  "token-classification": TaskParts<
    "token-classification",
    TaggedWords,
    LabelledTokens,
    NoTaskOptions,
    TaskReport,
    TaggerEvaluation
  >;
  /** Vectors that are near each other for texts that mean the same. */
  "sentence-embedding": TaskParts<
    "sentence-embedding",
    PairedTexts,
    TextPair,
    ContrastiveOptions,
    TaskReport,
    MeanLoss
  >;
  /** The class of an image. */
  "image-classification": TaskParts<
    "image-classification",
    ImageRow,
    LabelledImage,
    NoTaskOptions,
    undefined,
    ClassifierEvaluation
  >;
  /** Which of two answers is better, against a reference. */
  dpo: Compared<PreferenceExample, ScoredPair, DpoOptions & ReferenceOptions>;
  /** The same by odds, and the better answers themselves. */
  orpo: Compared<PreferenceExample, ScoredPair, OrpoOptions>;
  /** The same without a reference. */
  cpo: Compared<PreferenceExample, ScoredPair, CpoOptions>;
  /** CPO by the mean of an answer's tokens, with SimPO's own values. */
  simpo: Compared<PreferenceExample, ScoredPair, CpoOptions>;
  /** Answers that were judged one by one; pairs are taken apart. */
  kto: Compared<PreferenceRow, ScoredAnswer, KtoOptions & ReferenceOptions>;
  /** How good an answer is, as one number. */
  reward: TaskParts<
    "sequence-classification",
    PreferenceExample,
    RewardPair,
    RewardOptions,
    PreferenceReport,
    MeanLoss
  >;
}

type Compared<Row, Item, Options> = TaskParts<"causal-lm", Row, Item, Options, PreferenceReport, MeanLoss>;

/** What a row of a task holds. */
export type TaskRow<T extends TrainingTask> = TrainingTasks[T]["row"];

/** What a task may be told. */
export type TaskOptions<T extends TrainingTask> = TrainingTasks[T]["options"];

/** What is said of the rows of a task. */
export type TaskRowsReport<T extends TrainingTask> = TrainingTasks[T]["report"];

/** What an evaluation of a task comes to. */
export type TaskEvaluation<T extends TrainingTask> = TrainingTasks[T]["evaluation"];

/** A task by its name, or with what it is told: `"dpo"`, or `{ name: "dpo", beta: 0.2 }`. */
export type TaskChoice<T extends TrainingTask> = T | ({ readonly name: T } & TaskOptions<T>);
