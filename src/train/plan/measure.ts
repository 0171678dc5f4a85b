import type { Adapter } from "../../adapters/adapter.ts";
import type { Allocation } from "../../gpu/memory.ts";
import type { ShapeDevice } from "../../gpu/shape-device.ts";
import type { Rules } from "../../util/options.ts";
import type { Counted, Objective } from "../objective.ts";
import type { TrainState } from "../state.ts";
import { trainObjective } from "../trainer.ts";
import { TRAINER_RULES, type TrainerOptions } from "../trainer-options.ts";
import { inOrder, type MemoryRow, memoryRows } from "./memory-rows.ts";

/** The memory of the device that a run takes, bytes. */
export interface MemoryUse {
  /** Most that is held at a time: `peakBytes` of a run's metrics. */
  readonly peak: number;
  /** Who holds how much of it then. */
  readonly rows: readonly MemoryRow[];
  /** Buffers that the pool keeps beyond that, to use them again. */
  readonly slack: number;
  /** Buffers beside the pool: parameters of dispatches, what the host reads. */
  readonly staging: number;
  /** All together. */
  readonly total: number;
  /** The largest buffer. */
  readonly largestBuffer: number;
  /** The largest binding, and the kernel that reads or writes it. */
  readonly largestBinding: { readonly bytes: number; readonly kernel: string };
}

/** What of {@link TrainerOptions} has nothing to do with memory. */
type Unmeasured = "maxSteps" | "resume" | "onStart" | "signal" | "settleAfter" | "onPacking" | "nameRow";

/** What of {@link TrainerOptions} memory depends on, or may. */
export type MeasuredOptions = Omit<TrainerOptions, Unmeasured>;

/** What these have to be. */
export const MEASURED_RULES = measuredRules(TRAINER_RULES);

function measuredRules({
  maxSteps: _steps,
  resume: _resume,
  onStart: _start,
  signal: _signal,
  settleAfter: _settle,
  onPacking: _packing,
  nameRow: _name,
  ...rules
}: Rules<TrainerOptions>): Rules<MeasuredOptions> {
  return rules;
}

/** What of an objective makes a loss of a batch. */
export type MeasuredObjective<B extends Counted> = Pick<
  Objective<never, B>,
  "device" | "root" | "adapters" | "shapesLoss" | "measures" | "loss"
>;

/** Micro-batches of a step that are looked at: one more takes what the second took. */
const MICRO_BATCHES = 2;
/** How often each batch is trained on: what is made once, such as tables of angles, is there the second time. */
const ROUNDS = 2;

/**
 * Trains on some batches on a device that only counts.
 * @param adapter on a model of that device
 */
export async function measureBatches<B extends Counted>(
  { ledger, stats }: ShapeDevice,
  { device, root, adapters, shapesLoss, measures, loss: lossOf }: MeasuredObjective<B>,
  adapter: Adapter,
  batches: readonly B[],
  options: MeasuredOptions,
): Promise<MemoryUse> {
  const { gradientAccumulationSteps: accumulated = 1, batchSplit = 1 } = options;
  const micro = Math.min(MICRO_BATCHES, accumulated * batchSplit);
  const steps = Array.from({ length: ROUNDS }, () => batches).flat();
  const whole: Objective<B, B> = {
    ...{ device, root, adapters, ...(shapesLoss && { shapesLoss }), ...(measures && { measures }) },
    collate: ([batch]) => batch as B,
    loss(batch, context) {
      ledger.phase = "forward";
      const loss = lossOf(batch, context);
      ledger.phase = "backward";
      return loss;
    },
  };
  ledger.restart();
  ledger.phase = "run";
  const owners = new Map<Allocation, string>();
  const run = trainObjective(
    whole,
    adapter.parameters,
    steps.flatMap((batch) => Array.from({ length: micro }, () => batch)),
    {
      ...options,
      ...{ batchSize: 1, batchSplit: 1, gradientAccumulationSteps: micro, maxSteps: steps.length },
      ...{ shuffle: false, packing: false, groupByLength: false },
      settleAfter: () => false,
      onStart: (state) => noteOwners(owners, adapter, state),
    },
  );
  for await (const _ of run);
  const { peak } = ledger;
  const textures = device.textures.bytes;
  device.textures.clear();
  const staging = stats.outsidePeak;
  const slack = Math.max(0, stats.peak - staging - textures - peak); // the peaks are at moments of their own
  const use = {
    ...{ peak, staging, slack, total: peak + staging + slack },
    rows: memoryRows(ledger.atPeak(), owners),
    largestBuffer: stats.largestBuffer,
    largestBinding: stats.largestBinding,
  };
  return withTextures(use, textures);
}

/** A run's memory with textures that stay, such as those that the first text of it makes. */
export function withTextures(use: MemoryUse, textures = 0): MemoryUse {
  if (textures === 0) return use;
  const before = use.rows.find(({ what }) => what === "textures")?.bytes ?? 0;
  const others = use.rows.filter(({ what }) => what !== "textures");
  const rows = inOrder([...others, { what: "textures", bytes: before + textures }]);
  return { ...use, rows, peak: use.peak + textures, total: use.total + textures };
}

function noteOwners(
  owners: Map<Allocation, string>,
  { frozen, parameters }: Adapter,
  { optimizer }: TrainState,
): void {
  owners.set(parameters.flat.storage, "adapter");
  if (frozen) owners.set(frozen.flat.storage, "adapter");
  for (const { storage } of optimizer.gradients.values()) owners.set(storage, "gradients");
  for (const { storage } of Object.values(optimizer.state)) owners.set(storage, "optimiser");
}
