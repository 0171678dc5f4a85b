import { checkItems, type ItemJudge } from "../data/check-items.ts";
import type { Device } from "../gpu/device.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { LossShape } from "../kernels/cross-entropy.ts";
import type { AdapterList } from "../nn/adapter-list.ts";
import { type Context, type Module, requireLive } from "../nn/module.ts";
import { checkOptions, objectOf, required } from "../util/options.ts";
import type { Random } from "../util/random.ts";

/** What a pass decides; the batch adds where its tokens stand. */
export interface PassContext
  extends Pick<
    Context,
    "tape" | "training" | "seed" | "checkpoint" | "precision" | "embeddingNoise" | "watch" | "adapters"
  > {
  /** What a cross-entropy is beside −log p of the label: given while training, to an objective that {@link Objective.shapesLoss}. */
  readonly lossShape?: LossShape;
  /** Told the sums that an objective with {@link Objective.measures} makes of its batch, `[size]`; not called unless given. */
  readonly report?: (sums: Tensor) => void;
}

/** What an objective measures beside its loss: sums over batches, of which the host makes figures. */
export interface Measures {
  /** How many sums there are. */
  readonly size: number;
  /** What the sums of some batches say, by TRL's names such as `rewards/chosen`. */
  read(sums: ArrayLike<number>): Readonly<Record<string, number>>;
}

/** What every batch counts. */
export interface Counted {
  /** Tokens that were read, without padding; images and their like count one each. */
  readonly tokens: number;
  /** Terms of the loss: predicted tokens, classified texts. */
  readonly terms: number;
}

/** What a run minimises: how items become a batch, and a batch a loss. All items are checked before the first batch. */
export interface Objective<Item, B extends Counted = Counted> extends ItemJudge<Item> {
  /** Where the model is. */
  readonly device: Device;
  /** The model's modules: parameters of an adapter on another are refused. Absent where there are none to compare. */
  readonly root?: Module | undefined;
  /** The adapters that its passes go through: parameters of another one are refused. */
  readonly adapters?: AdapterList | undefined;
  /** Puts the items of a micro-batch together; `random` belongs to this micro-batch alone. */
  collate(items: readonly Item[], random: Random): B;
  /** Tokens of an item. Absent where all are alike, as images are. */
  lengthOf?(item: Item): number;
  /** The same with several items in each row, none of which sees another. Absent where items cannot share a row. */
  pack?(rows: readonly (readonly Item[])[], random: Random): B;
  /** Some tokens of an item, as an item; undefined where nothing is learnt of them. Absent where a part makes no sense. */
  slice?(item: Item, from: number, to: number): Item | undefined;
  /** What it measures, and tells its context of each batch. Absent where the loss is all there is. */
  readonly measures?: Measures;
  /** The loss of an item depends on the others of its batch, which therefore cannot be computed in parts. */
  readonly comparesItems?: true;
  /** Its loss is a cross-entropy that goes by `lossShape`. */
  readonly shapesLoss?: true;
  /** The summed loss `[1]` of a batch: the optimiser divides by the terms of its whole step. */
  loss(batch: B, context: PassContext): Tensor;
  /** How passes over its batches can be replayed, if they can. */
  readonly placing?: Placing<B>;
}

/** An objective's loss in two parts, of which the second uploads nothing; see `Replay`. */
export interface Placing<B> {
  /** The loss that they are the parts of: of no use to an objective that was given another one. */
  of(batch: B, context: PassContext): Tensor;
  /** Uploads a batch. */
  place(batch: B): Placed;
}

/** A batch on the device. */
export interface Placed {
  /** What was uploaded. */
  readonly inputs: readonly Tensor[];
  /** All that the loss looks at on the host beside the sizes of these and the context; undefined where that is not known. */
  readonly key: readonly unknown[] | undefined;
  loss(context: PassContext): Tensor;
}

/** How items that may share a row are put together: packed, or each in a row of its own. */
export function inRows<Item, B>(
  judge: ItemJudge<Item>,
  pack: (rows: readonly (readonly Item[])[], random: Random) => B,
) {
  return {
    pack(rows: readonly (readonly Item[])[], random: Random): B {
      checkItems("collate", rows.flat(), judge);
      return pack(rows, random);
    },
    collate(items: readonly Item[], random: Random): B {
      checkItems("collate", items, judge);
      return pack(
        items.map((item) => [item]),
        random,
      );
    },
  };
}

const OBJECTIVE = required(
  objectOf(
    "an objective, such as languageModelling(model)",
    (given) => "collate" in given && "loss" in given,
  ),
);

/** @throws LoraError where what is given is no objective, or its model was released */
export function requireObjective(where: string, objective: Pick<Objective<never>, "root">): void {
  checkOptions(where, { objective }, { objective: OBJECTIVE });
  if (objective.root) requireLive(where, objective.root);
}
