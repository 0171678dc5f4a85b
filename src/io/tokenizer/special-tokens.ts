import { fail } from "../../util/fail.ts";
import type { JsonObject } from "../../util/json.ts";

/** Ids of the tokens that have a role; absent where nothing names one. */
export interface SpecialTokens {
  /** Begins a text. */
  readonly bosTokenId?: number;
  /** Ends a text. */
  readonly eosTokenId?: number;
  /** Fills rows of a batch. */
  readonly padTokenId?: number;
  /** Stands for a hidden token, in a masked language model. */
  readonly maskTokenId?: number;
  /** Every token that ends a generated text: `eosTokenId`, and those of `generation_config.json` or `config.json`. */
  readonly stopTokenIds: readonly number[];
}

/**
 * Texts of the tokens that have a role, by their names in `tokenizer_config.json`, such as `eos_token`; null where a file
 * says that there is none.
 */
export type RoleNames = Readonly<Record<string, string | null>>;

/**
 * Which ids have which role: those of the tokens that the tokenizer's files name, or else those of the model's files.
 * @param idOf the id of a token's text
 * @param numbers `config.json` and `generation_config.json` merged: `eos_token_id` and its like
 * @throws LoraError for an id that is no whole number
 */
export function readSpecialTokens(
  idOf: (token: string) => number | undefined,
  roles: RoleNames,
  numbers: JsonObject,
): SpecialTokens {
  const find = (key: string): number | undefined => {
    const name = roles[key];
    if (name === null) return undefined;
    return name === undefined ? idList(`${key}_id`, numbers)[0] : idOf(name);
  };
  const ids = {
    bosTokenId: find("bos_token"),
    eosTokenId: find("eos_token"),
    padTokenId: find("pad_token"),
    // Old folders have no config that names it.
    maskTokenId: find("mask_token") ?? idOf("[MASK]") ?? idOf("<mask>"),
  };
  const stop = ids.eosTokenId === undefined ? [] : [ids.eosTokenId];
  return { ...ids, stopTokenIds: [...new Set([...stop, ...idList("eos_token_id", numbers)])] };
}

/** `eos_token_id` is a number in most files and a list in some; −1 says in some that there is none. */
function idList(key: string, numbers: JsonObject): number[] {
  const value = numbers[key] ?? [];
  const ids: unknown[] = Array.isArray(value) ? value : [value];
  if (!ids.every((id): id is number => Number.isInteger(id))) {
    fail(
      "config.json or generation_config.json",
      `${key} is ${JSON.stringify(value)}, expected a token's id`,
      "give the token's number, or a list of them",
    );
  }
  return ids.filter((id) => id >= 0);
}
