import { isObject, type JsonObject } from "../../util/json.ts";

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
  /** Every token that ends a generated text: `eosTokenId` and those of `generation_config.json`. */
  readonly stopTokenIds: readonly number[];
}

/**
 * Which token has which role.
 * @param idOf the id of a token's text
 * @param names `tokenizer_config.json`: `eos_token` and its like
 * @param numbers `generation_config.json` or `config.json`: `eos_token_id` and its like, where the names are missing
 */
export function readSpecialTokens(
  idOf: (token: string) => number | undefined,
  names: JsonObject,
  numbers: JsonObject,
): SpecialTokens {
  const find = (key: string): number | undefined => {
    const content = tokenName(names[key]);
    const id = content === undefined ? undefined : idOf(content);
    return id ?? idList(numbers[`${key}_id`])[0];
  };
  const roles = {
    bosTokenId: find("bos_token"),
    eosTokenId: find("eos_token"),
    padTokenId: find("pad_token"),
    // Old folders have no config that names it.
    maskTokenId: find("mask_token") ?? idOf("[MASK]") ?? idOf("<mask>"),
  };
  const stop = roles.eosTokenId === undefined ? [] : [roles.eosTokenId];
  return { ...roles, stopTokenIds: [...new Set([...stop, ...idList(numbers.eos_token_id)])] };
}

/** `eos_token_id` is a number in most files and a list in some. */
function idList(value: unknown): number[] {
  return (Array.isArray(value) ? value : [value]).filter((id) => Number.isInteger(id));
}

/** A special token's text: some configs hold an object around it. */
export function tokenName(token: unknown): string | undefined {
  const content = isObject(token) ? token.content : token;
  return typeof content === "string" ? content : undefined;
}
