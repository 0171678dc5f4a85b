// Errors in the page's own words: what the library says names commands and options, which nobody sees here.
import { LoraError, messageOf } from "../../util/fail.ts";

/** What an example has, for whoever has other ones. */
const EXAMPLE = "An example has “prompt” and “completion”, or “text”, or a chat in “messages”.";

/** Where the library's words would not help here: what they match, and what the page says. */
const OWN_WORDS: readonly (readonly [words: RegExp, own: string | ((...found: string[]) => string)])[] = [
  [
    /is a preference row \(chosen, rejected\).*/,
    "has two answers, of which one is better. This page learns from one answer: leave out “rejected”, and call “chosen” “completion”.",
  ],
  [
    /is a preference row \(an answer.*/,
    "says whether an answer is good. This page learns from good answers alone: keep these, and leave out “label”.",
  ],
  [/has no keys, wanted "text".*/, `says nothing. ${EXAMPLE}`],
  [/has keys (.*), wanted "text".*/, (_, keys = "") => `has ${keys.replaceAll('"', "")}. ${EXAMPLE}`],
  [/^each row needs .*/, EXAMPLE],
  [
    /is not UTF-8 text: .*/,
    "is no text in UTF-8. Examples are text files or Parquet; save a text as UTF-8, and give it again.",
  ],
  [
    /is (UTF-(?:16|32)\w*) text without a byte-order mark/,
    (_, encoding = "") => `is text in ${encoding}. Save it as UTF-8, and give it again.`,
  ],
  [/^name a table of cells .*/, "A table is a .csv or .tsv file, and plain text a .txt file."],
  [
    /has no chat template/,
    "does not say how it writes chats. Take a chat version of it, or examples with “prompt” and “completion”.",
  ],
  [
    /^config\.json: config\.json names neither .*/,
    "This is no language model: config.json does not say what it is.",
  ],
  [
    /^free disk space, clear this site's data.*/,
    "Delete a model that is kept here, or free disk space, and go on: what has come is kept.",
  ],
  [/(?:\S+: )?cannot be written: .*\bquota\b.*/i, "the storage of this browser is full."],
  [
    /^free disk space, or clear what this site has stored$/,
    "Download what it learnt before you close the page, or free disk space and train anew.",
  ],
  [/^.*config\.json: no such file/, "config.json is missing: give the whole folder of the model."],
  [
    /(?:gave up after \d+ attempts|the server cannot be reached): (?!the server answered).*/,
    "cannot be reached now.",
  ],
  [/^supported: (.*)/, (_, names = "") => `This page reads ${familiesOf(names).join(", ")}.`],
];

/** What a line looks like that is for a terminal or a program: it is left out. */
const FOR_PROGRAMS =
  /(?:^|[\s(])--[a-z]|\b(?:webgpu-lora|npx|python|iconv|gunzip|tar|unzip) |\bHF_\w+|\w+\(|\{ ?\w+: |chrome:\/\/|[a-z]_[a-z]\w*\b(?!\.\w)|\.jinja|cache: false/;

/** What can be done about errors of a kind, where nothing else is said. */
const REMEDIES: Readonly<Record<string, string>> = {
  "out-of-memory":
    "Choose a smaller model, keep its numbers in fewer bits, or take shorter examples, fewer at a time.",
  network: "Check the connection, and try again: what has come is kept.",
};

/** Errors of a kind of which nothing else needs to be said. */
const WHOLE: Readonly<Record<string, string>> = {
  "device-lost":
    "The graphics chip was lost, and did not come back.\nLoad the page again. If that does not help, restart the browser, or take fewer examples a step.",
  "no-adapter": "There is no graphics chip to be had now.\nLoad the page again, or restart the browser.",
};

/** What browsers say of a file of the page that does not come. */
const UNFETCHED = /^(?:Failed to fetch|Load failed|NetworkError)/;

/** What an error says, for somebody who uses a page. */
export function plainWords(error: unknown): string {
  if (!(error instanceof LoraError))
    return UNFETCHED.test(messageOf(error))
      ? "A part of this page did not come.\nCheck the connection, and load the page again."
      : messageOf(error);
  if (isRefusal(error)) return refusalOf(error.where);
  return WHOLE[error.kind] ?? plainText(error.message, REMEDIES[error.kind]);
}

/**
 * What the library says, for somebody who uses a page.
 * @param remedy where the message has none that is of use here
 */
export function plainText(message: string, remedy = ""): string {
  const said: string[] = [];
  let isHelped = false;
  let [sign, where] = ["", ""]; // of the next line: whether it is one of several, and of what it is where it does not say so
  for (const line of message.replaceAll(TWICE, "$1").split("\n")) {
    const { arrow, dash, text = "" } = LINE.exec(line)?.groups ?? {};
    if (arrow) {
      const own = ownWords(text);
      if (FOR_PROGRAMS.test(own)) continue;
      said.push(sentence(own));
      isHelped = true;
    } else {
      if (where === "") sign = dash ? "– " : "";
      if (text.endsWith(ONE_PROBLEM)) where = text.slice(0, -ONE_PROBLEM.length);
      else {
        const what = where === "" || NAMED.test(text) ? text : `${where}: ${text}`;
        said.push(sign + withoutFlags(ownWords(what)));
        where = "";
      }
    }
  }
  if (!isHelped && remedy !== "") said.push(remedy);
  return said.join("\n");
}

/** A line of a message: a remedy, one problem of several, or what has happened. */
const LINE = /^\s*(?:(?<arrow>→ )|(?<dash>- ))?(?<text>.*)$/;
/** What a message says before the one problem of a file. */
const ONE_PROBLEM = ": 1 problem:";
/** Whether a problem says itself what it is of. */
const NAMED = /^\S+\.\w+: /;
/** A file that was given alone is its own folder. */
const TWICE = /([^\s/]+)\/\1(?=:)/g;

/** Whether a hub does not give what was asked for to everybody. */
export function isRefusal(error: unknown): boolean {
  return (
    error instanceof LoraError &&
    /answered (?:401|403)|knows no such repository|does not say which files/.test(error.message)
  );
}

function ownWords(line: string): string {
  for (const [words, own] of OWN_WORDS)
    if (words.test(line)) return line.replace(words, own as (...found: string[]) => string);
  return line;
}

/** What follows a clause that names a flag is for a terminal, too. */
const withoutFlags = (text: string) => text.replace(/[,:;]?[^,:;(\n]*\(?--[a-z][^\n]*/g, "");

/** A name that is written as it is, also where a sentence begins. */
const FILE_NAME = /^\S*[._]\w/;

const sentence = (text: string) => {
  const begun = FILE_NAME.test(text) ? text : text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?:]$/.test(begun) ? begun : `${begun}.`;
};

/** Names of families among those of architectures. */
function familiesOf(names: string): string[] {
  const found = [...names.matchAll(/(\w+?)(?:ForCausalLM|LMHeadModel)\b/g)].map(([, name = ""]) => name);
  return [...new Set(found)];
}

/** What to do about a model that the hub does not give. */
function refusalOf(where: string): string {
  const id = where.split("/").slice(0, 2).join("/").split("@")[0] as string;
  return [
    `The hub does not give ${id}: there is none of this name, or it is for those alone who may see it.`,
    `Check the name. If it is gated, accept its terms on https://huggingface.co/${id}, make a token that may read on https://huggingface.co/settings/tokens, put it into the field, and look it up again.`,
  ].join("\n");
}
