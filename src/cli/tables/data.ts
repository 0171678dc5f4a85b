import { STOPPING_STRATEGIES } from "../../data/feed/order.ts";
import { TOKENIZE_DEFAULTS } from "../../data/tokenize/tokenize-options.ts";
import { TRUNCATIONS } from "../../data/tokenize/truncation.ts";
import { choice, flag, integer, number, numbers, optionalFlag, texts, textsByName } from "../options.ts";
import { CHAT_TEMPLATE } from "./model.ts";

/** How rows are read, and what becomes of them. */
export const DATA_OPTIONS = {
  columns: textsByName({
    wanted: "a column for each name (prompt=question,completion=answer)",
    help: "the columns of the data, where they have other names: prompt=question,completion=answer",
  }),
  header: flag({
    fallback: true,
    help: "whether the first line of a .csv or .tsv names its columns; without it they are 0, 1, …: --no-header --columns text=0,label=1",
  }),
  on_bad_row: choice({
    choices: ["error", "skip"],
    fallback: "error",
    help: "what a row is that cannot be used: an error, or left out and told",
  }),
  max_length: integer({
    fallback: undefined,
    min: 2,
    help: `tokens a row has at most; by default ${TOKENIZE_DEFAULTS.maxLength}, or what the model takes`,
    aliases: ["max_seq_length"],
  }),
  truncation: choice({
    choices: TRUNCATIONS,
    fallback: TOKENIZE_DEFAULTS.truncation,
    help: "what to do with a longer row: keep its start, its end, or its completion whole with the prompt's end, or leave it out",
  }),
  completion_only_loss: flag({
    fallback: TOKENIZE_DEFAULTS.maskPrompt,
    help: "learn the completions only, not the prompts",
    aliases: ["mask_prompt"],
  }),
  assistant_only_loss: flag({
    fallback: TOKENIZE_DEFAULTS.assistantOnlyLoss,
    help: "of chats learn what the assistant writes only, with the token that ends its turn",
  }),
  mask_history: flag({
    fallback: TOKENIZE_DEFAULTS.maskHistory,
    help: "of what the assistant writes learn the last message only",
  }),
  chat_template: CHAT_TEMPLATE,
};

/** What is learnt from. */
export const TRAINING_DATA = {
  data: texts({
    placeholder: "path",
    required: true,
    help: "a file (.jsonl, .json, .csv, .tsv, .parquet or .txt, also with .gz), or a folder with train.jsonl or the like and, if wanted, valid.jsonl; several are learnt from together; for images a folder for each class",
  }),
  data_weights: numbers({
    min: 0,
    help: "how many rows of each --data are drawn, in proportion; by default all rows of all of them",
    aliases: ["interleave_probs", "probabilities"],
  }),
  stopping_strategy: choice({
    choices: STOPPING_STRATEGIES,
    fallback: "first_exhausted",
    help: "with data_weights, whether an epoch ends when the first of the data sets has been drawn, or when all have",
  }),
};

/** Whether rows are held in memory. */
export const STREAMING = optionalFlag({
  help: "read rows when they are needed, with flat memory; by default those of files beyond 16 MiB",
  aliases: ["dataset_streaming"],
});

/** Rows that are held out. */
export const VALID_SPLIT = number({
  fallback: 0,
  min: 0,
  below: 1,
  aliases: ["test_split_size"],
  help: "share of the rows that is held out to evaluate on, by what they hold: the same rows every time",
});
