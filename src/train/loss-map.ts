import { inOrder } from "../data/feed/in-order.ts";
import { firstRows, type SourceItem } from "../data/feed/item-source.ts";
import type { RowStream } from "../data/files/row-stream.ts";
import { type TokenView, tokenViewer } from "../data/inspect/row-view.ts";
import type { Example } from "../data/rows/examples.ts";
import type { Sequence } from "../data/sequence.ts";
import { TOKENIZE_RULES, type TokenizeOptions } from "../data/tokenize/tokenize-options.ts";
import { type Model, requireTokenizer } from "../load/model.ts";
import { requireModel } from "../nn/module.ts";
import { append } from "../util/arrays.ts";
import { checkOptions, integer, pickOptions, type Rules } from "../util/options.ts";
import { EVALUATION_RULES, type EvaluationOptions } from "./evaluate.ts";
import { sequencesOf } from "./row-sequences.ts";
import { lossOfTokens } from "./token-losses.ts";

/** Options of {@link lossMap}. */
export interface LossMapOptions extends EvaluationOptions, Partial<TokenizeOptions> {
  /** How many of the first rows are looked at; 20 unless given. */
  rows?: number;
}

/** A row with what each of its tokens costs. */
export interface RowLosses {
  /** As messages call it. */
  readonly name: string;
  /** Its tokens; those that are `masked` are only read. */
  readonly tokens: readonly TokenView[];
  /** −log p of each token, nats; NaN where it is only read. */
  readonly losses: Float32Array;
}

const RULES: Rules<LossMapOptions> = {
  ...EVALUATION_RULES,
  ...TOKENIZE_RULES,
  rows: integer({ min: 1 }),
};

/**
 * What each token of text rows costs a model, in their order: those with a large loss it did not expect. The model's adapters count;
 * `model.withAdapters([])` is the base model.
 * @throws LoraError as `evaluate` does
 */
export async function lossMap(
  model: Model,
  examples: readonly Example[] | RowStream<Example>,
  options: LossMapOptions = {},
): Promise<RowLosses[]> {
  checkOptions("lossMap", options, RULES);
  requireModel("lossMap", model);
  const { rows: most = 20, ...rest } = options;
  const { sequences, nameRow } = await sequencesOf(model, examples, rest);
  const looked: SourceItem<Sequence>[] = [];
  for await (const part of inOrder(firstRows(sequences, most))) append(looked, part);
  const nameOf = (item: number) => {
    const { place } = looked[item] as SourceItem<Sequence>;
    return nameRow?.(place) ?? ("nameOf" in sequences ? sequences.nameOf(place) : "");
  };
  const settings = { ...pickOptions(rest, EVALUATION_RULES), nameRow: nameOf };
  const losses = await lossOfTokens(
    model,
    looked.map(({ item }) => item),
    settings,
  );
  const view = tokenViewer(requireTokenizer(model));
  return looked.map(({ item: { inputIds } }, i) => {
    const own = losses[i] as Float32Array;
    const role = (at: number) => (Number.isNaN(own[at]) ? "masked" : "trained");
    return { name: nameOf(i), tokens: inputIds.map((id, at) => view(id, role(at))), losses: own };
  });
}
