import { shown } from "../../../util/shown.ts";
import { boolean, INVALID, object, type Place, type Shaped } from "../../json/shape.ts";
import { text, u32 } from "./fields.ts";
import { type ModelJson, vocabularyLookup } from "./models.ts";

/** A token that is found in the text before all else. */
export const addedToken = object({
  id: u32,
  content: text,
  /** Found only where no letter or digit stands beside it. */
  single_word: boolean,
  /** Takes the blanks before it. */
  lstrip: boolean,
  /** Takes the blanks after it. */
  rstrip: boolean,
  /** Looked for in the normalised text. */
  normalized: boolean,
  special: boolean,
});

export type AddedTokenJson = Shaped<typeof addedToken>;

/** Added tokens: four times as many as models that speak or draw have. */
export const MOST_ADDED = 2 ** 18;

/**
 * The added tokens that Rust takes: one without content is none, and each has an id that is its own.
 * Rust doesn't read `id`: a token has the id of the vocabulary, or else the next one from the vocabulary's size on, in
 * the file's order. Where the file says otherwise nobody can know which was meant.
 */
export function usedTokens(
  tokens: readonly AddedTokenJson[],
  model: ModelJson,
  at: Place,
): readonly AddedTokenJson[] | typeof INVALID {
  if (tokens.length > MOST_ADDED) return at.invalid(`has ${tokens.length} tokens; it may have ${MOST_ADDED}`);
  const before = at.problems.length;
  const known = vocabularyLookup(model);
  const taken = new Set(model.type === "Unigram" ? [] : Object.values(model.vocab));
  const seen = new Set<string>();
  let next = Object.keys(model.vocab).length;
  for (const [i, { content, id }] of tokens.entries()) {
    if (content === "") continue;
    const place = at.at(i);
    if (seen.has(content)) {
      place.at("content").invalid(`is ${shown(content)}, which is added twice`);
      continue;
    }
    seen.add(content);
    const inVocabulary = known(content);
    const given = inVocabulary ?? next++;
    if (id !== given) {
      place
        .at("id")
        .invalid(
          `is ${id}, but tokenizers gives ${shown(content)} the id ${given}, and writes that when it saves`,
        );
    } else if (inVocabulary === undefined && taken.has(id)) {
      place.at("id").invalid(`is ${id}, which is the id of a token of the vocabulary as well`);
    }
  }
  return at.problems.length > before ? INVALID : tokens.filter(({ content }) => content !== "");
}
