import { pieceReader, type TokenPiece } from "../../io/tokenizer/token-pieces.ts";
import type { Tokenizer } from "../../io/tokenizer/tokenizer.ts";
import { printable } from "../../util/printable.ts";
import { IGNORE_INDEX } from "../sequence.ts";
import type { WholeText } from "../tokenize/encode-pair.ts";
import type { EncodedPreference } from "../tokenize/encode-preference.ts";
import type { EncodedRow, RowFate } from "../tokenize/encode-rows.ts";
import type { EncodedItem } from "../tokenize/task-rows.ts";
import { promptLength } from "./preference-inspector.ts";
import type { FindingKind } from "./report.ts";

/** What becomes of a token: it gives a loss, it is only read, or it is cut off; of tasks without a loss of tokens it is read. */
export type TokenRole = "trained" | "masked" | "cut" | "read";

/** A token as people see it. */
export interface TokenView {
  /** Its id. */
  readonly id: number;
  /** What it writes; what cannot be seen is shown by signs: `·` a space, `↵` a line end, `\xE2` a byte of a character. */
  readonly text: string;
  /** Whether it gives a loss, is only read, or is cut off. */
  readonly role: TokenRole;
  /** Whether it is one of the special tokens. */
  readonly isSpecial: boolean;
  /** The part of its row that it is of, where that has several, such as `chosen`. */
  readonly part?: string;
  /** Its class, where tokens have one each. */
  readonly tag?: string;
}

/** What is learnt of a row, or of one of its answers. */
export interface EndView {
  /** The last token that gives a loss, but for white space behind it. */
  readonly text: string;
  /** Whether it ends the text or the turn. */
  readonly endsTurn: boolean;
}

/** An answer of a row, beside its tokens. */
export interface AnswerView {
  /** Such as `chosen`. */
  readonly name: string;
  /** Tokens that give a loss. */
  readonly trained: number;
  readonly end?: EndView;
  /** The token that goes over the end of the prompt. */
  readonly straddler?: string;
}

/** A row as people see it; plain JSON. */
export interface RowView {
  /** As messages call it. */
  readonly name: string;
  /** What becomes of it. */
  readonly fate: RowFate;
  /** All of them, also those that are cut off. */
  readonly tokens: readonly TokenView[];
  /** Tokens that give a loss. */
  readonly trained: number;
  /** The last token that is learnt; absent where none is. */
  readonly end?: EndView;
  /** The classes of a row of another task. */
  readonly labels?: readonly string[];
  /** How large it is, where it is no text. */
  readonly size?: string;
  /** Answers of a row that says which are better. */
  readonly answers?: readonly AnswerView[];
  /** The token that goes over the end of the prompt; absent where there is none. */
  readonly straddler?: string;
  /** Why it is refused. */
  readonly problem?: string;
  /** What it is noted for. */
  readonly findings: readonly FindingKind[];
}

/** Makes a function that shows rows. */
export function rowViewer(
  tokenizer: Tokenizer,
): (row: EncodedRow, name: string, findings: readonly FindingKind[]) => RowView {
  const view = tokenViewer(tokenizer);
  return (row, name, findings) => {
    const { inputIds, labels, cut, fate, straddler, endsTurn, problem } = row;
    const isLeftOut = fate === "too long";
    const kept = inputIds.map((id, i) =>
      view(id, isLeftOut ? "cut" : labels[i] === IGNORE_INDEX ? "masked" : "trained"),
    );
    const lost = cut.map((id) => view(id, "cut"));
    const tokens = row.isCutAtStart ? [...lost, ...kept] : [...kept, ...lost];
    const learnt = tokens.filter(({ role }) => role === "trained");
    const last = learnt.findLast(({ text, isSpecial }) => isSpecial || /[^·↵⇥]/.test(text)) ?? learnt.at(-1);
    return {
      ...{ name, fate, tokens, trained: learnt.length, findings },
      ...(last && { end: { text: last.text, endsTurn } }),
      ...(straddler !== undefined && { straddler: kept[straddler]?.text ?? "" }),
      ...(problem && { problem: problem.message }),
    };
  };
}

/** Makes a function that shows rows which say which answers are better: the prompt once, and each answer. */
export function preferenceViewer(
  tokenizer: Tokenizer,
): (row: EncodedPreference, name: string, findings: readonly FindingKind[]) => RowView {
  const viewAnswer = rowViewer(tokenizer);
  return ({ answers, fate, problem }, name, findings) => {
    const views = answers.map(({ name: answer, row }) => viewAnswer(row, answer, []));
    const isWhole = answers.every(({ row }) => !row.isCutAtStart);
    const shared = isWhole ? promptLength(answers.map(({ row }) => row)) : 0;
    const inPart = (tokens: readonly TokenView[], part: string) =>
      tokens.map((token) => ({ ...token, part }));
    return {
      ...{ name, fate, findings, trained: views.reduce((sum, { trained }) => sum + trained, 0) },
      tokens: [
        ...inPart(views[0]?.tokens.slice(0, shared) ?? [], "prompt"),
        ...views.flatMap(({ tokens }, i) => inPart(tokens.slice(shared), answers[i]?.name ?? "")),
      ],
      answers: views.map(({ trained, end, straddler }, i) => ({
        ...{ name: answers[i]?.name ?? "", trained },
        ...(end && { end }),
        ...(straddler !== undefined && { straddler }),
      })),
      ...(problem && { problem: problem.message }),
    };
  };
}

/** Makes a function that shows rows of tasks that are no language modelling. */
export function itemViewer(
  tokenizer: Tokenizer,
): (row: EncodedItem, name: string, findings: readonly FindingKind[]) => RowView {
  const view = tokenViewer(tokenizer);
  return ({ fate, texts, labels }, name, findings) => ({
    ...{ name, fate, findings, labels, trained: 0 },
    tokens: texts.flatMap((text) => {
      const kept = keptPlaces(text);
      return text.ids.map((id, i) => {
        const at = kept[i];
        const tag = at === undefined ? undefined : text.tagOf?.(at);
        return {
          ...view(id, at === undefined || fate === "too long" ? "cut" : "read"),
          ...(text.name !== undefined && { part: text.name }),
          ...(tag !== undefined && { tag }),
        };
      });
    }),
  });
}

/** The place of each token among those that are kept; undefined where it is cut off. */
function keptPlaces({ ids, cuts }: WholeText): (number | undefined)[] {
  let next = 0;
  return ids.map((_, i) => (cuts.some(([start, end]) => i >= start && i < end) ? undefined : next++));
}

export function tokenViewer(tokenizer: Tokenizer): (id: number, role: TokenRole) => TokenView {
  const pieceOf = pieceReader(tokenizer);
  return (id, role) => {
    const piece = pieceOf(id);
    return { id, text: visible(piece), role, isSpecial: "text" in piece && piece.isSpecial };
  };
}

const SIGNS: ReadonlyMap<string, string> = new Map([
  [" ", "·"],
  ["\n", "↵"],
  ["\t", "⇥"],
]);

/** What a token writes, with signs for what cannot be seen. */
function visible(piece: TokenPiece): string {
  if ("bytes" in piece) return piece.bytes.map(visibleByte).join("");
  if (piece.text === "") return "∅";
  return printable(piece.text.replace(/[ \n\t]/g, (character) => SIGNS.get(character) ?? character));
}

function visibleByte(byte: number): string {
  if (byte >= 0x80 || byte < 0x20) return `\\x${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  return visible({ text: String.fromCharCode(byte), isSpecial: false });
}
