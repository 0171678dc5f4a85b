/** What to do where the files of a tokenizer are broken, or of a kind that is not read here. */
export const SAVE_IT =
  'let transformers write tokenizer.json: t = AutoTokenizer.from_pretrained("FOLDER"); t.save_pretrained("FOLDER")';
