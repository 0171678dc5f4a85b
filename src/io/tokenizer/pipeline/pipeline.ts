import { fail } from "../../../util/fail.ts";
import type { TokenizerJson } from "../schema/schema.ts";
import { AddedTokens, type TextPart } from "./added-tokens.ts";
import { MOST_IDS } from "./bpe.ts";
import { unsupported } from "./component.ts";
import { type Decoder, makeDecoder, spaced } from "./decoders.ts";
import type { Model } from "./model.ts";
import { makeModel } from "./models.ts";
import { type OriginalPlace, placeTracer } from "./normal-places.ts";
import { makeNormalizer, type Normalizer } from "./normalizers.ts";
import {
  type Encoding,
  encodingOf,
  joined,
  makePostProcessor,
  type PostProcessor,
} from "./post-processors.ts";
import { makePreTokenizer, type Piece, type PreTokenizer } from "./pre-tokenizers.ts";
import type { Span } from "./spans.ts";
import { type FindPlaces, placeFinder } from "./token-places.ts";

/** Ids, and for each the UTF-16 units of the text that it stands for. */
export interface PlacedIds {
  readonly ids: readonly number[];
  readonly places: readonly Span[];
}

/** A part of a normalised text with its ids. */
interface NormalPart {
  readonly text: string;
  readonly start: number;
  readonly ids: readonly number[];
  readonly isAdded: boolean;
}

/**
 * A `tokenizer.json` at work, as Rust's `tokenizers` 0.23 runs it. The sections `truncation` and `padding` are left
 * to the caller, as transformers leaves them.
 */
export class Pipeline {
  private readonly normalizer: Normalizer | undefined;
  private readonly preTokenizer: PreTokenizer | undefined;
  private readonly model: Model;
  private readonly postProcessor: PostProcessor | undefined;
  private readonly decoder: Decoder;
  private readonly added: AddedTokens;
  private readonly findPlaces: FindPlaces;
  private readonly traceNormal: (text: string) => OriginalPlace;

  /**
   * @param json the checked file
   * @throws LoraError naming the component that is not supported
   */
  constructor(json: TokenizerJson) {
    const { normalizer, pre_tokenizer, post_processor, decoder } = json;
    this.traceNormal = placeTracer(normalizer);
    this.findPlaces = placeFinder(json);
    this.normalizer = normalizer ? makeNormalizer(normalizer, "normalizer") : undefined;
    this.preTokenizer = pre_tokenizer ? makePreTokenizer(pre_tokenizer, "pre_tokenizer") : undefined;
    checkStart(this.normalizer, this.preTokenizer);
    this.model = makeModel(json.model);
    this.postProcessor = post_processor ? makePostProcessor(post_processor, "post_processor") : undefined;
    this.decoder = decoder ? makeDecoder(decoder, "decoder") : spaced;
    this.added = new AddedTokens(json.added_tokens, this.normalizer);
    if (this.highestId >= MOST_IDS) unsupported("model.vocab", `the token id ${this.highestId}`);
  }

  /** The ids of one text or two, with their segments. */
  encode(texts: readonly string[], addSpecialTokens: boolean): Encoding {
    const encodings = texts.map((text, i) => encodingOf(this.idsOf(text), i));
    return joined(this.postProcessor?.(encodings, addSpecialTokens) ?? encodings);
  }

  decode(tokens: readonly string[]): string {
    return this.decoder(tokens).join("");
  }

  idOf(token: string): number | undefined {
    return this.added.idOf(token) ?? this.model.idOf(token);
  }

  tokenOf(id: number): string | undefined {
    return this.added.textOf(id) ?? this.model.tokenOf(id);
  }

  /** The content of a special token; undefined for any other. */
  specialToken(id: number): string | undefined {
    return this.added.specialContentOf(id);
  }

  isSpecial(token: string): boolean {
    return this.added.isSpecial(token);
  }

  /** The highest id that a text can have: that of a special token around it may be no token's of the vocabulary. */
  get highestId(): number {
    const empty = [encodingOf([], 0), encodingOf([], 1)];
    const frames = [empty.slice(0, 1), empty].flatMap((texts) => this.postProcessor?.(texts, true) ?? []);
    const known = Math.max(this.model.highestId, this.added.highestId);
    return joined(frames).ids.reduce((highest, id) => Math.max(highest, id), known);
  }

  /** The ids of a text without special tokens around it, and where in it each token stands. */
  encodeWithPlaces(text: string): PlacedIds {
    checkWellFormed(text);
    return joinPlaced(
      this.added
        .findPlain(text)
        .map((part) =>
          part.id === undefined
            ? this.placedIdsOfPart(text, part)
            : { ids: [part.id], places: [[part.start, part.end]] },
        ),
    );
  }

  private idsOf(text: string): number[] {
    checkWellFormed(text);
    return this.added
      .findPlain(text)
      .flatMap((part) => (part.id !== undefined ? [part.id] : this.idsOfPart(text, part)));
  }

  /** The ids of a part without such added tokens as are looked for in the text itself. */
  private idsOfPart(text: string, part: TextPart): number[] {
    return this.normalParts(text, part).flatMap(({ ids }) => ids);
  }

  /** The same by the added tokens that are looked for in normalised text, and what is between them. */
  private normalParts(text: string, { start, end }: TextPart): NormalPart[] {
    const part = text.slice(start, end);
    const normal = this.normalizer?.normalize(part) ?? part;
    const atStart = start === 0 && !this.normalizer?.dropsStart?.(part);
    return this.added.findNormalized(normal).map(({ id, start: from, end: to }) => {
      const inside = normal.slice(from, to);
      if (id !== undefined) return { text: inside, start: from, ids: [id], isAdded: true };
      const pieces = this.pieces({ text: inside, atStart: atStart && from === 0 });
      return {
        text: inside,
        start: from,
        ids: pieces.flatMap((piece) => [...this.model.tokenize(piece.text)]),
        isAdded: false,
      };
    });
  }

  private placedIdsOfPart(text: string, part: TextPart): PlacedIds {
    const original = this.traceNormal(text.slice(part.start, part.end));
    const placed = this.normalParts(text, part).map(({ text: inside, start, ids, isAdded }): PlacedIds => {
      const tokens = ids.map((id) => this.model.tokenOf(id) ?? "");
      const spans: readonly Span[] = isAdded ? [[0, inside.length]] : this.findPlaces(inside, tokens);
      const places = spans.map(([from, to]): Span => {
        const [first, last] = original(start + from, start + to);
        return [part.start + first, part.start + last];
      });
      return { ids, places };
    });
    return joinPlaced(placed);
  }

  private pieces(piece: Piece): Piece[] {
    return this.preTokenizer?.split(piece) ?? [piece];
  }
}

function joinPlaced(parts: readonly PlacedIds[]): PlacedIds {
  return { ids: parts.flatMap(({ ids }) => ids), places: parts.flatMap(({ places }) => places) };
}

/** `Metaspace` under the scheme "first" needs to know what the text began with; rarely that can't be said. */
function checkStart(normalizer: Normalizer | undefined, split: PreTokenizer | undefined): void {
  if (!split?.needsStart) return;
  if (normalizer?.startUnclear || (normalizer?.expands && split.needsStartOfParts)) {
    unsupported(
      "pre_tokenizer",
      'a Metaspace with prepend_scheme "first" behind a normalizer that changes where the text begins',
      'set prepend_scheme to "always" or "never"',
    );
  }
}

/** Half of a surrogate pair can't be written as UTF-8, and Python's library refuses the text. */
function checkWellFormed(text: string): void {
  const lone = text.search(/\p{Surrogate}/u);
  if (lone < 0) return;
  const unit = text.charCodeAt(lone).toString(16);
  fail(
    "tokenizer",
    `the text has half of a surrogate pair (U+${unit.toUpperCase()}) at position ${lone}, which is no character`,
    "mend the text, for example with text.toWellFormed(), which writes U+FFFD instead",
  );
}
