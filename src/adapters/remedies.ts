// What to do with an adapter that is not supported. Each was tried with PEFT 0.21.0.

/** Turns an adapter into a model; for variants that PEFT can merge. */
export const MERGE =
  "in Python with PEFT: PeftModel.from_pretrained(base, ADAPTER).merge_and_unload().save_pretrained(OUT); then use OUT as the model";

/** The same for LoRA of an output layer or an embedding: where these two share a matrix, saving would lose it. */
export const MERGE_UNTIED =
  "in Python with PEFT: base.lm_head.weight = torch.nn.Parameter(base.lm_head.weight.detach().clone()); base.config.tie_word_embeddings = False; PeftModel.from_pretrained(base, ADAPTER).merge_and_unload().save_pretrained(OUT); then use OUT as the model";

/** For what PEFT itself cannot merge. */
export const NO_MERGE =
  "PEFT has no merged form of it: only PEFT itself can run it; or train again as plain LoRA";

/** Types of PEFT 0.21 that it cannot merge into a base model: what adds to its input or depends on it, and mixtures of adapters. */
const UNMERGEABLE = new Set([
  ...["PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "CPT", "CARTRIDGE"],
  ...["ADAPTION_PROMPT", "LILY", "POLY", "SHADOW", "XLORA"],
]);

/** Those that it can. */
const MERGEABLE = new Set([
  ...[
    "LORA",
    "ADALORA",
    "ADAMSS",
    "BOFT",
    "IA3",
    "BEFT",
    "LOHA",
    "LOKR",
    "OFT",
    "LN_TUNING",
    "VERA",
    "FROD",
    "PVERA",
  ],
  ...[
    "FOURIERFT",
    "GLORA",
    "HRA",
    "VBLORA",
    "UNILORA",
    "MISS",
    "RANDLORA",
    "ROAD",
    "TRAINABLE_TOKENS",
    "HIRA",
  ],
  ...[
    "SHIRA",
    "C3A",
    "WAVEFT",
    "OSF",
    "DELORA",
    "GRALORA",
    "TINYLORA",
    "PSOFT",
    "PEANUT",
    "SUPERTUNING",
    "DEFT",
  ],
]);

/** What to do about an adapter of another `peft_type`. */
export function otherTypeRemedy(type: string): string {
  if (UNMERGEABLE.has(type)) return NO_MERGE;
  if (MERGEABLE.has(type)) return MERGE;
  return "PEFT 0.21 does not know it: merge the adapter with the program that wrote it, then use the result as the model";
}
