import { requireTokenizer } from "../../io/tokenizer/require-tokenizer.ts";
import type { Tokenizer } from "../../io/tokenizer/tokenizer.ts";
import { fail } from "../../util/fail.ts";
import { checkOptions, listOf, objectOf, oneOf, pickOptions, type Rules, words } from "../../util/options.ts";
import type { ChatTemplates } from "../chat/chat-template.ts";
import { loadChats } from "../chat/late-chats.ts";
import { isRowStream } from "../files/is-row-stream.ts";
import type { RowStream } from "../files/row-stream.ts";
import type { Example } from "../rows/examples.ts";
import { labelNames } from "../rows/labelled.ts";
import type { PreferenceRow } from "../rows/preferences.ts";
import { isPreferenceTask, type PreferenceTask, TRAINING_TASKS, type TrainingTask } from "../task-names.ts";
import type { EncodedPreference } from "../tokenize/encode-preference.ts";
import { type RowEncoding, settleMaxLength } from "../tokenize/row-encoding.ts";
import { TOKENIZE_RULES, type TokenizeOptions } from "../tokenize/tokenize-options.ts";
import { truncationFor } from "../tokenize/truncation.ts";
import { type InspectedRows, inspectRows, type LookedAt, type Shown } from "./inspect-rows.ts";
import { itemLook, labelsOf, type TextRow, type TextTask } from "./item-look.ts";
import { type Look, preferenceLook } from "./looks.ts";
import { type TextRowOfAnyKind, textLook } from "./text-look.ts";

/** What makes tokens of rows: a model, or what `loadModelText` reads of one. */
export interface InspectedModel extends Partial<ChatTemplates> {
  /** What messages call it. */
  readonly name: string;
  /** What makes tokens of texts. */
  readonly tokenizer: Tokenizer | undefined;
  /** Rows of its embedding, and tokens that it takes at most. */
  readonly config: { readonly vocabSize: number; readonly maxPositions: number };
  /** Names of the classes of its head; absent where it has none. */
  readonly labels?: readonly string[];
}

/** A row of any task on texts. */
export type InspectedRow = Example | PreferenceRow | TextRow;

/** Rows to look at: a list, the rows of a file, or such as are read when they are needed. */
export type RowsToInspect = readonly InspectedRow[] | LookedAt<InspectedRow>;

/** A task whose rows are tokens to a model. */
export type InspectedTask = Exclude<TrainingTask, "image-classification">;

/** Options of {@link inspectData}. */
export interface InspectDataOptions extends Partial<TokenizeOptions> {
  /** What the rows are for; `causal-lm` unless given, which preferences are looked at for, too. */
  readonly task?: InspectedTask;
  /** Names of the classes; those of the model, or of the rows, unless given. */
  readonly labels?: readonly string[];
  /** Rows that a model is judged by, which should not be among these. */
  readonly judged?: RowsToInspect;
  /** Which rows are shown: by their numbers from 1, or the first ones and some with each finding; 20 and 3 unless given. */
  readonly shown?: Shown;
  /** Told what is asked for and cannot be. */
  readonly onNote?: (line: string) => void;
}

const RULES: Rules<InspectDataOptions> = {
  ...TOKENIZE_RULES,
  task: oneOf(TRAINING_TASKS.filter((task) => task !== "image-classification")),
  labels: listOf(words(), "a list of names"),
  judged: {
    wanted: "rows",
    accepts: (rows) => typeof rows === "object" && rows !== null,
    aliases: ["eval_data"],
  },
  shown: {
    wanted: "numbers of rows, or { first, perKind }",
    accepts: (shown) =>
      typeof shown === "object" && shown !== null && ("first" in shown || Array.isArray(shown)),
    aliases: ["row", "rows"],
  },
  onNote: { wanted: "a function", accepts: (value) => typeof value === "function", aliases: [] },
};

const MODEL: Rules<{ model: object }> = {
  model: objectOf(
    "a model, or what loadModelText reads of one",
    (model) => "tokenizer" in model && "config" in model,
  ),
};

/**
 * Looks at rows as a model will read them: which tokens are learnt, what is cut or left out, how long rows are, and what deserves
 * attention, as the command `inspect` does. It needs no device. Rows that are read when they are needed are read once.
 * @throws LoraError where there are no rows, or of several kinds, no tokenizer, or no template for chats
 */
export async function inspectData(
  model: InspectedModel,
  rows: RowsToInspect,
  options: InspectDataOptions = {},
): Promise<InspectedRows> {
  checkOptions("inspectData", options, RULES);
  checkOptions("inspectData", { model }, MODEL);
  const { task = "causal-lm", judged, shown = { first: 20, perKind: 3 } } = options;
  const [looked, others] = [listed(rows), judged && listed(judged)];
  const look = await lookOf(model, task, looked, options);
  return inspectRows(looked, others, look as Look<InspectedRow, { readonly place: number }>, shown);
}

/** How the rows of a task are looked at. */
async function lookOf(
  model: InspectedModel,
  task: InspectedTask,
  rows: LookedAt<InspectedRow>,
  options: InspectDataOptions,
) {
  if (task === "causal-lm")
    return textLook(rows as LookedAt<TextRowOfAnyKind>, "data", textEncoding(model, options));
  if (isPreferenceTask(task)) {
    await loadChats();
    const truncation = truncationFor(task, options.truncation);
    const how = { ...options, ...(truncation && { truncation }) };
    return lookForTask(task, preferenceLook(textEncoding(model, how)));
  }
  const text = withClasses(model, task, rows, options);
  return itemLook(task, text, settingsOf(options), options.onNote ?? ignore);
}

type PreferenceLook = Look<PreferenceRow, EncodedPreference>;

/** The same for one of these tasks, which takes rows of its own kind alone. */
function lookForTask(task: PreferenceTask, look: PreferenceLook): PreferenceLook {
  return {
    ...look,
    encode(row, place) {
      const isJudged = "label" in row;
      const wanted =
        task === "kto" ? "judged answers, or pairs of them" : "pairs: prompt, chosen and rejected";
      if (!("chosen" in row || isJudged)) {
        fail(
          "data",
          `has rows that do not say which answers are better, of which ${task} learns`,
          `give ${wanted}`,
        );
      }
      if (isJudged && task !== "kto") {
        const got = `has answers that were judged one by one, and ${task} compares two`;
        fail("data", got, `give ${wanted}; kto learns from such rows`);
      }
      return look.encode(row, place);
    },
  };
}

const ignore = () => {};

const settingsOf = ({ maxLength, truncation = "truncate" }: InspectDataOptions) => ({
  maxLength,
  truncation,
});

function listed(rows: RowsToInspect): LookedAt<InspectedRow> {
  if ("nameOf" in rows) return rows;
  if (!Array.isArray(rows))
    fail("inspectData", "the rows are no list", "give what readRows or streamRows gives");
  return { rows: rows as readonly InspectedRow[], nameOf: (place) => `row ${place + 1}` };
}

function withClasses(
  model: InspectedModel,
  task: TextTask,
  rows: LookedAt<InspectedRow>,
  options: InspectDataOptions,
) {
  const { name, tokenizer, config } = model;
  if (!task.endsWith("classification")) return { name, tokenizer, config };
  const classes = options.labels ?? model.labels ?? classesOf(rows);
  return { name, tokenizer, config, classes };
}

function classesOf(rows: LookedAt<InspectedRow>): readonly string[] {
  if (!isRowStream<InspectedRow>(rows))
    return labelNames(rows.rows.flatMap((row) => labelsOf(row as TextRow)));
  const help = "give labels: the rows are read when they are needed, and name their classes one by one";
  return (
    (rows as RowStream<InspectedRow>).labels ?? fail("inspectData", "nothing says what the classes are", help)
  );
}

function textEncoding(model: InspectedModel, options: InspectDataOptions): RowEncoding {
  const { name, chatTemplates = new Map(), config } = model;
  const maxLength = settleMaxLength(config.maxPositions, options.maxLength, options.onNote ?? ignore);
  return {
    tokenizer: requireTokenizer(model),
    maxLength,
    options: { ...pickOptions(options, TOKENIZE_RULES), maxLength },
    model: { name, chatTemplates, embeddingRows: config.vocabSize },
  };
}
