import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { fixturePath } from "./fixtures.ts";

/** The words of one letter. */
export const LETTERS = [..."abcdefghijklmnopqrstuvwxyz"];

/** As many tokens as the fixtures' embeddings have rows: 36. */
const VOCABULARY = [
  ...["[PAD]", "[UNK]", "[MASK]", "[CLS]", "[SEP]"],
  ...LETTERS,
  ...["##a", "##b", "good", "bad", "film"],
];

/** Writes a fixture's model with a tokenizer: its own weights, so what it learns is up to the adapter and the head. */
export function writeTaskModel(folder: string, name: string): string {
  mkdirSync(folder, { recursive: true });
  for (const file of ["config.json", "model.safetensors"]) {
    copyFileSync(fixturePath(`tasks/${name}/${file}`), `${folder}/${file}`);
  }
  writeFileSync(`${folder}/vocab.txt`, `${VOCABULARY.join("\n")}\n`);
  return folder;
}
