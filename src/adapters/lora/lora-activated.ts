import * as ops from "../../autograd/ops.ts";
import type { Linear } from "../../nn/linear.ts";
import type { Wrap } from "../../nn/module.ts";
import { fail } from "../../util/fail.ts";
import type { Adaptable, Site, WrapGiven } from "../method.ts";
import { siteSeed } from "../sites/site-seed.ts";

// Activated LoRA (aLoRA): the branch acts on the tokens from an invocation on. PEFT's `ALoraLinearVariant`, tuners/lora/variants.py.

/** Why there is no merged form, and what PEFT says, too. */
export const UNMERGEABLE =
  "aloraInvocationTokens: the update is for some tokens alone, and a weight is for all";

/**
 * Ids of the invocation for a model.
 * @param given ids, or a text for the model's tokenizer
 * @throws LoraError for a model that does not predict the next token, ids outside its vocabulary, and a text that has none
 */
export function invocationIn(model: Adaptable, given: readonly number[] | string): readonly number[] {
  const { task, tokenizer, name, config } = model;
  const where = "aloraInvocationTokens";
  if (task !== undefined && task !== "causal-lm") {
    const got = `it is for models that predict the next token, as in PEFT, and this one is for ${task}`;
    fail(where, got, "leave it out");
  }
  if (typeof given === "string" && !tokenizer) fail(where, `${name} has no tokenizer`, "give ids of tokens");
  const ids =
    typeof given === "string" ? (tokenizer?.encode(given, { addSpecialTokens: false }) ?? []) : given;
  if (ids.length === 0)
    fail(where, `${JSON.stringify(given)} is no token at all`, "give a text that is some");
  const { vocabSize = Number.POSITIVE_INFINITY } = config ?? {};
  const alien = ids.filter((id) => id >= vocabSize);
  if (alien.length > 0)
    fail(where, `the model's embedding has ${vocabSize} rows, and ${alien.join(", ")} is none`);
  return ids;
}

const UNKNOWN_TOKENS =
  "its adapter acts from certain tokens on, and this pass does not know which its tokens are";

/** What the branch has beside its tensors. */
interface Branch {
  readonly scale: number;
  /** Probability with which an element of its input is dropped while training. */
  readonly dropout: number;
}

/**
 * The layer, and at the acting tokens s · B A dropout(x) with it: these are gathered, go through the branch and are put back.
 * @throws LoraError in a pass that does not know which its tokens are
 */
export function activatedWrap(
  { module, tensors }: Site,
  { index, factor, acting }: WrapGiven,
  { scale, dropout }: Branch,
): Wrap {
  const { lora_A: A, lora_B: B, lora_bias: bias } = tensors;
  if (!A || !B) return fail(module.path, "lora_A or lora_B is missing");
  const { outFeatures } = module as Linear;
  return (x, context, next) => {
    const { tape, training } = context;
    if (!acting) return fail(module.path, UNKNOWN_TOKENS, "let the model choose the adapters of the pass");
    const { tokens } = acting;
    const whole = next(x, context);
    if (!tokens) return whole;
    const drop = { p: training ? dropout : 0, seed: siteSeed(context.seed, index) };
    const input = ops.dropout(tape, ops.gatherRows(tape, x, tokens), drop);
    const branch = ops.linear(tape, ops.linear(tape, input, A), B, { bias });
    const spread = ops
      .scatterRows(tape, branch, tokens, x.rows)
      .reshape([...x.shape.slice(0, -1), outFeatures]);
    return ops.add(tape, whole, spread, factor * scale);
  };
}
