import { fail } from "../../util/fail.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** @throws LoraError where there is no tokenizer */
export function requireTokenizer({
  tokenizer,
  name,
}: {
  readonly tokenizer: Tokenizer | undefined;
  readonly name: string;
}): Tokenizer {
  return tokenizer ?? fail(name, "has no tokenizer.json", "add it, or work with token ids");
}
