import type { Finding, FindingKind } from "../../data/inspect/report.ts";

/** What is said of so many rows, and what to do. */
interface Words {
  readonly what: string;
  readonly help: string;
}

const LENGTH = "Raise “Longest example” below, or shorten them.";
const LEAVE_OUT = "Take them out, unless that is what you want.";

/** What can be found among examples to learn from, in the page's words. */
const WORDS: Readonly<Partial<Record<FindingKind, Words>>> = {
  "nothing-trained": { what: "teach nothing", help: "Each example needs an answer to learn." },
  "no-end": {
    what: "do not teach the model to stop: their end is cut off or not learnt",
    help: LENGTH,
  },
  "open-end": { what: "do not teach the model to stop", help: LENGTH },
  "double-bos": {
    what: "begin with the sign for a beginning twice",
    help: "Take it out of the text: the model adds it by itself.",
  },
  "cut-before": { what: "are left out: the prompt alone is too long", help: LENGTH },
  "no-labels": { what: "have nothing to learn and are left out", help: "Give them an answer." },
  refused: {
    what: "do not fit the way in which this model writes chats",
    help: "Let the roles alternate: perhaps a system message, then user and assistant in turn.",
  },
  "unknown-token": { what: "hold a sign that the model does not know", help: "Take it out of the text." },
  cut: { what: "are too long: what is crossed out is not learnt", help: LENGTH },
  "too-long": { what: "are too long and left out", help: LENGTH },
  empty: { what: "are empty and left out", help: "Nothing needs to be done." },
  "near-empty": { what: "have nothing to learn but the end", help: LEAVE_OUT },
  seam: {
    what: "have a piece that is half prompt and half answer",
    help: "Let prompts end without a space, and answers begin with it.",
  },
  duplicate: { what: "are the same as an earlier one", help: LEAVE_OUT },
  "lost-role": {
    what: "have messages that this model's way of writing chats leaves out",
    help: "Put what matters into messages of the user or the assistant.",
  },
  "none-content": { what: "have a message without content", help: "Give it a text, if an empty one." },
};

/** A finding in words that need no manual. */
export function findingInWords({ kind, rows, message, examples }: Finding, of: number): string {
  const all = of === 1 ? "The example" : `All ${of} examples`;
  const who = rows === of ? all : rows === 1 ? "1 example" : `${rows} of ${of} examples`;
  const words = WORDS[kind];
  const where = examples.length > 0 && rows < of ? ` (${examples.slice(0, 3).map(lineOf).join(", ")})` : "";
  if (!words) return `${message}${where}.`;
  const said = `${words.what}. ${words.help}`;
  return `${who}${where} ${rows === 1 ? ofOne(said) : said}`;
}

/** What is said of several, of one. */
function ofOne(said: string): string {
  const one: Readonly<Record<string, string>> = {
    are: "is",
    have: "has",
    do: "does",
    teach: "teaches",
    begin: "begins",
    hold: "holds",
  };
  const [verb = "", ...rest] = said
    .replace(/\bthem\b/, "it")
    .replace(/\btheir\b/, "its")
    .split(" ");
  return [one[verb] ?? verb, ...rest].join(" ");
}

/** What a row is called beside the name of its file. */
export function lineOf(name: string): string {
  const [, line] = /:(\d+)$/.exec(name) ?? [];
  if (line !== undefined) return `line ${line}`;
  return /row \d+$/.exec(name)?.[0] ?? name;
}
