import type { TokenizeReport } from "../tokenize/tokenize-report.ts";
import type { Lengths } from "./lengths.ts";
import type { Finding, FindingKind } from "./report.ts";

/** Rows of one kind: how many, and where the first of them are. */
export interface RowTally {
  rows: number;
  readonly places: number[];
}

/** What a role's messages became: those that the template wrote, and those that it left out. */
export interface RoleTally {
  shown: number;
  readonly lost: RowTally;
}

/** What was counted of the rows. */
export interface Counted {
  readonly counts: TokenizeReport;
  readonly lengths: Lengths;
  readonly maxLength: number;
  /** Rows that teach an end: one of which nothing else is learnt teaches the end of nothing. */
  readonly ended: number;
  readonly kinds: ReadonlyMap<FindingKind, RowTally>;
  /** By the role of a message, or what it has beside its content. */
  readonly roles: ReadonlyMap<string, RoleTally>;
  readonly nameOf: (place: number) => string;
}

/** More than this share of the rows cut before anything is learnt from them is no accident. */
const CUT_AT_MOST = 0.5;

/** What deserves attention, errors first. */
export function findingsOf(counted: Counted): Finding[] {
  const { counts, kinds, roles } = counted;
  const found: Finding[] = [];
  if (keptRows(counts) === 0) found.push(nothingTrained(counted));
  for (const [kind, tally] of kinds) {
    const isAllOpen = kind === "open-end" && counted.ended === 0;
    found.push(describe(isAllOpen ? "no-end" : kind, tally, counted));
  }
  for (const [name, role] of roles) {
    if (role.lost.rows > 0) found.push(lostRole(name, role, counted));
  }
  const order = { error: 0, warning: 1 };
  return found.sort((a, b) => order[a.level] - order[b.level]);
}

/** Rows that are trained on. */
function keptRows({ rows, dropped, droppedNoLabels, droppedEmpty, refused }: TokenizeReport): number {
  return rows - dropped - droppedNoLabels - droppedEmpty - refused;
}

/** What a kind of finding says. */
interface Words {
  readonly level?: (tally: RowTally, counts: TokenizeReport) => Finding["level"];
  /** Behind "3 of 10 rows ". */
  readonly message: string;
  readonly help: string;
}

const always = () => "error" as const;

function wordsOf(kind: FindingKind, { lengths, maxLength, counts }: Counted): Words {
  const longest = `the longest row has ${counts.longestIsLeast ? "at least " : ""}${counts.longest}`;
  const lengthHelp = `raise max_length: 99 % of the rows have ${lengths.p99} tokens or fewer, ${longest}`;
  const words: Record<Exclude<FindingKind, "nothing-trained" | "lost-role">, Words> = {
    "no-end": {
      level: always,
      message:
        "end neither with EOS nor with an end-of-turn token that is learnt: the model would never stop",
      help: "raise max_length where rows are cut, or take a template that writes a token behind an answer, inside of {% generation %}",
    },
    "open-end": {
      message: "end neither with EOS nor with an end-of-turn token that is learnt",
      help: "where many do, the model goes on without end: raise max_length where rows are cut, or leave such rows out",
    },
    "double-bos": {
      level: always,
      message: "begin with BOS twice, which no text in use does",
      help: "take it out of the text, or out of the template: the tokenizer writes one by itself before texts, and none before chats",
    },
    "cut-before": {
      level: ({ rows }, { rows: all }) => (rows > CUT_AT_MOST * all ? "error" : "warning"),
      message: `are cut before the completion and left out: the prompt alone fills max_length ${maxLength}`,
      help: lengthHelp,
    },
    "no-labels": {
      message: "have nothing to learn and are left out",
      help: "the completion is empty, or no message is the assistant's, or all of it is masked",
    },
    refused: {
      level: always,
      message: "cannot be rendered or masked by the chat template",
      help: "mend these rows, or take another template with chat_template",
    },
    "unknown-token": {
      level: always,
      message: "hold a token for which the model has no row in its embedding",
      help: "take the token out of the text, or give the model a row for it",
    },
    cut: { message: `are cut to max_length ${maxLength}: what is cut off is not learnt`, help: lengthHelp },
    "too-long": { message: `are longer than max_length ${maxLength} and left out`, help: lengthHelp },
    empty: { message: "have an empty text and are left out", help: "nothing needs to be done" },
    "near-empty": {
      message: "have nothing to learn but white space or the end",
      help: "leave them out, unless silence is the answer",
    },
    seam: {
      message: "have a token that goes over the end of the prompt, and is learnt whole",
      help: "end the prompt without a space, and begin the completion with it: in use the prompt is tokenised alone",
    },
    duplicate: {
      message: "are the same as an earlier one, token for token",
      help: "leave them out, unless they are to weigh more",
    },
    overlap: {
      message:
        "are in the evaluation data, too, which then cannot tell whether the model learns or remembers",
      help: "take them out of one of the two",
    },
  };
  return words[kind as keyof typeof words];
}

function describe(kind: FindingKind, tally: RowTally, counted: Counted): Finding {
  const { level = () => "warning", message, help } = wordsOf(kind, counted);
  return {
    ...finding(kind, level(tally, counted.counts), tally, counted),
    message: `${share(tally, counted)} ${message}`,
    help,
  };
}

function share({ rows }: RowTally, { counts }: Counted): string {
  const of = counts.rows === 1 ? "row" : "rows";
  return `${rows.toLocaleString("en-US")} of ${counts.rows.toLocaleString("en-US")} ${of}`;
}

function finding(
  kind: FindingKind,
  level: Finding["level"],
  { rows, places }: RowTally,
  { nameOf }: Counted,
): Pick<Finding, "level" | "kind" | "rows" | "examples"> {
  return { level, kind, rows, examples: places.map(nameOf) };
}

function nothingTrained(counted: Counted): Finding {
  const { counts } = counted;
  const rows = { rows: counts.rows, places: [] };
  return {
    ...finding("nothing-trained", "error", rows, counted),
    message: `none of the ${counts.rows.toLocaleString("en-US")} rows has a token that is learnt`,
    help: "what became of the rows is said beside; inspect shows their tokens",
  };
}

/** A role of which nothing is ever written is one that the template does not know. */
function lostRole(name: string, { shown, lost }: RoleTally, counted: Counted): Finding {
  const isUnknown = shown === 0;
  const what = isUnknown ? `leaves out everything of ${name}` : `leaves out something of ${name}`;
  return {
    ...finding("lost-role", isUnknown ? "error" : "warning", lost, counted),
    message: `the chat template ${what}, in ${lost.rows.toLocaleString("en-US")} messages`,
    help: "take a template that knows these messages, or rename or leave out what it does not know",
  };
}
