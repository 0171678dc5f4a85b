import type { Tokenizer } from "../../../src/io/tokenizer/tokenizer.ts";
import { openTokenizer } from "../../../src/io/tokenizer/tokenizer-files.ts";
import { filesOf } from "../helpers.ts";

/** Opens the tokenizer of a folder of these files: texts, bytes or JSON values. */
export async function openFolder({
  "config.json": config = {},
  "generation_config.json": generationConfig = {},
  ...files
}: Record<string, unknown>): Promise<Tokenizer> {
  const tokenizer = await openTokenizer(filesOf(files), {
    config: config as Record<string, unknown>,
    generationConfig: generationConfig as Record<string, unknown>,
  });
  if (!tokenizer) throw new Error(`no tokenizer in ${Object.keys(files)}`);
  return tokenizer;
}
