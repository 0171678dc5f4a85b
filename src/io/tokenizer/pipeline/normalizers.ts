import type { NormalizerJson } from "../schema/normalizers.ts";
import { toByteLevel } from "./bytes.ts";
import { type Makers, make } from "./component.ts";
import { checkGrowth } from "./growth.ts";
import { readPattern } from "./pattern.ts";
import { precompiled } from "./precompiled.ts";
import { replaceSpans } from "./spans.ts";
import { lowercase, type NormalForm, normalForm, tableClass, WHITE_SPACE } from "./unicode.ts";
import { BERT_CONTROLS, BERT_MARKS, STRIPPED_MARKS } from "./unicode-tables.ts";

/** Rewrites a text before it is split. */
export interface Normalizer {
  normalize(text: string): string;
  /**
   * Whether the normal form of this text no longer begins at the text's first character, which `Metaspace` asks for
   * under the scheme "first". Absent where it always does.
   */
  dropsStart?(text: string): boolean;
  /** Whether one character may become several, of which each still stands at the place of the one. */
  readonly expands?: boolean;
  /** True where {@link dropsStart} may be wrong: what expanded is cut afterwards. */
  readonly startUnclear?: boolean;
}

type Json<Name extends NormalizerJson["type"]> = Extract<NormalizerJson, { readonly type: Name }>;

const NORMALIZERS: Makers<NormalizerJson, Normalizer> = {
  BertNormalizer: bert,
  ByteLevel: () => ({ normalize: toByteLevel, expands: true }),
  Lowercase: () => ({ normalize: lowercase, expands: true }),
  NFC: () => form("NFC"),
  NFD: () => form("NFD"),
  NFKC: () => form("NFKC"),
  NFKD: () => form("NFKD"),
  Nmt: () => characterwise(nmt),
  Precompiled: (json, path) => ({ normalize: precompiled(json.precompiled_charsmap, path), expands: true }),
  Prepend: ({ prepend }) => ({
    normalize: (text) => (text === "" ? "" : prepend + text),
    expands: true,
  }),
  Replace: replace,
  Sequence: (json, path) => sequence(flat(json, path)),
  Strip: strip,
  StripAccents: () => characterwise((text) => text.replace(MARKS, "")),
};

/** A normalizer as its JSON describes it. */
export function makeNormalizer(json: NormalizerJson, path: string): Normalizer {
  return make(NORMALIZERS, json, path);
}

const form = (name: NormalForm): Normalizer => ({
  normalize: (text) => normalForm(text, name),
  expands: true,
});

/** A normalizer that looks at each character by itself: the start goes where the first character goes. */
function characterwise(normalize: (text: string) => string): Normalizer {
  return { normalize, dropsStart: (text) => normalize(firstCharacter(text)) === "" };
}

const firstCharacter = (text: string) => String.fromCodePoint(text.codePointAt(0) ?? 0);

/** The normalizers of a sequence and of those in it, with their places. */
function flat(json: NormalizerJson, path: string): [Normalizer, string][] {
  if (json.type !== "Sequence") return [[makeNormalizer(json, path), path]];
  return json.normalizers.flatMap((part, i) => flat(part, `${path}.normalizers[${i}]`));
}

function sequence(parts: readonly [Normalizer, string][]): Normalizer {
  const normalizers = parts.map(([normalizer]) => normalizer);
  const firstExpands = normalizers.findIndex(({ expands }) => expands);
  const lastDrops = normalizers.findLastIndex(({ dropsStart }) => dropsStart);
  return {
    normalize: (text) =>
      parts.reduce((normal, [next, path]) => {
        const result = next.normalize(normal);
        checkGrowth(text.length, result.length, path);
        return result;
      }, text),
    dropsStart(text) {
      let [normal, dropped] = [text, false];
      for (const next of normalizers) {
        dropped ||= next.dropsStart?.(normal) ?? false;
        normal = next.normalize(normal);
      }
      return dropped;
    },
    expands: firstExpands >= 0,
    startUnclear:
      (firstExpands >= 0 && firstExpands < lastDrops) || normalizers.some(({ startUnclear }) => startUnclear),
  };
}

function replace({ pattern: source, content }: Json<"Replace">, path: string): Normalizer {
  const pattern = readPattern(source, path);
  const normalizer = {
    normalize: (text: string) => replaceSpans(text, pattern(text), content, path),
    expands: true,
  };
  // Metaspace asks nothing where a text begins with its own "▁" (T5's rule for several spaces).
  if (content.startsWith("▁")) return normalizer;
  return {
    ...normalizer,
    // What is written instead stands at the last of the replaced characters.
    dropsStart(text) {
      const [start, end] = pattern(text)[0] ?? [1, 1];
      return start === 0 && (content === "" ? end > 0 : [...text.slice(0, end)].length > 1);
    },
  };
}

const SPACE_AT_START = new RegExp(`^[${WHITE_SPACE}]+`, "v");
const SPACE = new RegExp(`^[${WHITE_SPACE}]$`, "v");

function strip({ strip_left: left, strip_right: right }: Json<"Strip">): Normalizer {
  const normalize = (text: string) => {
    const start = left ? text.replace(SPACE_AT_START, "") : text;
    return right ? trimEnd(start) : start;
  };
  return left ? { normalize, dropsStart: (text) => SPACE.test(firstCharacter(text)) } : { normalize };
}

/** By hand: an expression would try every run of spaces in the text. All white space is one UTF-16 unit long. */
function trimEnd(text: string): string {
  let end = text.length;
  while (end > 0 && SPACE.test(text.charAt(end - 1))) end--;
  return text.slice(0, end);
}

const MARKS = new RegExp(`[${tableClass(STRIPPED_MARKS)}]`, "gv");

// The control characters and spaces of SentencePiece's "nmt" rules.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it is for
const NMT_REMOVED = /[\x01-\x08\x0b\x0e-\x1f\x7f\x8f\x9f]/gu;
const NMT_SPACES = /[\t\n\f\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]/gu;

function nmt(text: string): string {
  return text.replace(NMT_REMOVED, "").replace(NMT_SPACES, " ");
}

const CONTROLS = new RegExp(`[${tableClass(BERT_CONTROLS)}]`, "gv");
const SPACES = new RegExp(`[${WHITE_SPACE}]`, "gv");
const NONSPACING_MARKS = new RegExp(`[${tableClass(BERT_MARKS)}]`, "gv");
/** The blocks that Google's BERT calls Chinese. */
const CHINESE =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/gu;

function bert(json: Json<"BertNormalizer">): Normalizer {
  const steps: ((text: string) => string)[] = [];
  if (json.clean_text) {
    steps.push((text) => text.replace(CONTROLS, "").replace(SPACES, " "));
  }
  if (json.handle_chinese_chars) steps.push((text) => text.replace(CHINESE, " $& "));
  if (json.strip_accents ?? json.lowercase) {
    steps.push((text) => normalForm(text, "NFD").replace(NONSPACING_MARKS, ""));
  }
  if (json.lowercase) steps.push(lowercase);
  return { ...characterwise((text) => steps.reduce((normal, step) => step(normal), text)), expands: true };
}
