import { isRowStream } from "../../data/files/is-row-stream.ts";
import type { RowStream } from "../../data/files/row-stream.ts";
import type { TaskText, TextRow, TextTask } from "../../data/inspect/item-look.ts";
import {
  labelledTextReader,
  PAIRED_TEXTS_READER,
  TAGGED_WORDS_READER,
  TEXT_READER,
} from "../../data/rows/labelled.ts";
import type { RowReader } from "../../data/rows/rows.ts";
import { tokenMasker } from "../../data/tokenize/encode-task.ts";
import { specialFrame } from "../../data/tokenize/special-frame.ts";
import { alienToken, REMEDY } from "../../data/tokenize/vocabulary.ts";
import { type LoadedModel, requireTokenizer } from "../../load/model.ts";
import { freePositions } from "../../models/model.ts";
import { fail } from "../../util/fail.ts";
import { sequenceClassification, tokenClassification } from "../classification.ts";
import { contrastive } from "../contrastive.ts";
import { meanLoss } from "../evaluate.ts";
import { evaluateClassifier, evaluateTagger } from "../evaluate-classifier.ts";
import { maskedLanguageModelling } from "../masked-language-modelling.ts";
import { requireLength } from "../row-sequences.ts";
import { givenRows, givenStream } from "./given-rows.ts";
import type { RowOptions, TaskItem, TaskItems, TaskKind, TaskModel } from "./task-kind.ts";
import { textItemSource, textItems } from "./text-items.ts";

/** Filling in hidden tokens. */
export const MASKED_LM: TaskKind<"masked-lm"> = {
  prepare: preparing("masked-lm", () => TEXT_READER),
  objective: (model) => maskedLanguageModelling(model, maskerOf(model)),
  evaluate: (model, items, options, how) => meanLoss(MASKED_LM.objective(model, options), items, how),
};

/** Telling the class of a text. */
export const SEQUENCE_CLASSIFICATION: TaskKind<"sequence-classification"> = {
  prepare: preparing("sequence-classification", labelledTextReader),
  objective: sequenceClassification,
  evaluate: (model, items, _, how) => evaluateClassifier(sequenceClassification(model), items, how),
};

/** Telling the class of each word. */
export const TOKEN_CLASSIFICATION: TaskKind<"token-classification"> = {
  prepare: preparing("token-classification", () => TAGGED_WORDS_READER),
  objective: tokenClassification,
  evaluate: (model, items, _, how) => evaluateTagger(tokenClassification(model), items, how),
};

/** Finding a text's partner. */
export const SENTENCE_EMBEDDING: TaskKind<"sentence-embedding"> = {
  prepare: preparing("sentence-embedding", () => PAIRED_TEXTS_READER),
  objective: contrastive,
  evaluate: (model, items, options, how) => meanLoss(contrastive(model, options), items, how),
};

/** How rows of a task on texts become its items, whether they are in memory or read when they are needed. */
function preparing<T extends TextTask>(task: T, reader: () => RowReader<TextRow>): TaskKind<T>["prepare"] {
  return async (model, rows, options): Promise<TaskItems<T>> => {
    const text = textOf(model);
    const settings = settingsOf(model, options);
    if (isRowStream<TextRow>(rows)) return fromStream(task, text, givenStream(rows, reader()), settings);
    const given = givenRows(rows, reader(), options.nameRow);
    const { items, places, maxLength, report } = textItems<TaskItem<T>>(task, text, given, settings);
    const nameRow = (place: number) => given.nameOf(places[place] as number);
    return { items, maxLength, report, nameRow };
  };
}

function fromStream<T extends TextTask>(
  task: T,
  text: TaskText,
  stream: RowStream<TextRow>,
  settings: ReturnType<typeof settingsOf>,
): TaskItems<T> {
  const { look, get } = textItemSource<TaskItem<T>>(task, text, stream, settings);
  const nameOf = (place: number) => stream.nameOf(place);
  const items = { mixture: stream.sets, nameOf, get: (places: readonly number[]) => get(places) };
  return { items, maxLength: look.maxLength };
}

function settingsOf(model: LoadedModel<TextTask>, { maxLength, truncation = "truncate" }: RowOptions) {
  requireLength(maxLength, freePositions(model));
  return { maxLength, truncation, note: () => {} };
}

/** What a model that is loaded makes tokens with. */
function textOf(model: LoadedModel<TextTask>): TaskText {
  const { name, tokenizer } = model;
  const config = { vocabSize: model.config.vocabSize, maxPositions: freePositions(model) };
  return { name, tokenizer, config, ...("labels" in model && { classes: model.labels }) };
}

/** Hides tokens of a text. @throws LoraError where the model has no token to put in their place */
function maskerOf(model: TaskModel<"masked-lm">) {
  const tokenizer = requireTokenizer(model);
  const rows = model.config.vocabSize;
  const { maskTokenId, vocabSize } = tokenizer;
  if (maskTokenId === undefined) {
    fail(model.name, "the tokenizer has no mask token", "name its mask_token in tokenizer_config.json");
  }
  const alien = alienToken([maskTokenId], { tokenizer, rows });
  if (alien !== undefined) fail(model.name, `each masked text ${alien}`, REMEDY);
  const { before, after } = specialFrame(tokenizer);
  return tokenMasker({ maskTokenId, vocabSize: Math.min(vocabSize, rows), special: [...before, ...after] });
}
