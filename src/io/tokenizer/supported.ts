/**
 * The components of `tokenizer.json` that are built here, by the names that they have in the file. Each gives what
 * Rust's `tokenizers` 0.23 gives (see `scripts/tokenizers`); all others are refused by name. The makers in
 * `pipeline/` are keyed by these names, so that a name without a maker doesn't compile.
 */
export const SUPPORTED = {
  normalizer: [
    ...["BertNormalizer", "ByteLevel", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt"],
    ...["Precompiled", "Prepend", "Replace", "Sequence", "Strip", "StripAccents"],
  ],
  pre_tokenizer: [
    ...["BertPreTokenizer", "ByteLevel", "CharDelimiterSplit", "Digits", "FixedLength", "Metaspace"],
    ...["Punctuation", "Sequence", "Split", "UnicodeScripts", "Whitespace", "WhitespaceSplit"],
  ],
  model: ["BPE", "Unigram", "WordLevel", "WordPiece"],
  post_processor: ["BertProcessing", "ByteLevel", "RobertaProcessing", "Sequence", "TemplateProcessing"],
  decoder: [
    ...["BPEDecoder", "ByteFallback", "ByteLevel", "CTC", "Fuse", "Metaspace"],
    ...["Replace", "Sequence", "Strip", "WordPiece"],
  ],
} as const;

/** A part of `tokenizer.json` that holds a component. */
export type Part = keyof typeof SUPPORTED;

/** The names that a part may have as `type`. */
export type ComponentName<P extends Part> = (typeof SUPPORTED)[P][number];
