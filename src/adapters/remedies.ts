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

/** Methods that PEFT cannot merge into a base model: those that add to its input, and mixtures of adapters. */
const UNMERGEABLE =
  /^(?:PROMPT_TUNING|MULTITASK_PROMPT_TUNING|P_TUNING|PREFIX_TUNING|CPT|CARTRIDGE|ADAPTION_PROMPT|LILY|POLY|XLORA)$/;

/** What to do about an adapter of another `peft_type`. */
export function otherTypeRemedy(type: string): string {
  return UNMERGEABLE.test(type) ? NO_MERGE : MERGE;
}
