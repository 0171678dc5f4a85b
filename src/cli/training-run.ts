import type { Adapter } from "../adapters/adapter.ts";
import type { RunNotes } from "../io/formats/run-state.ts";
import type { LoadedModel } from "../load/model.ts";
import type { Peers } from "../train/peers.ts";
import type { Resumed } from "./checkpoints.ts";
import type { LossCurve } from "./loss-curve.ts";
import type { Settings } from "./options.ts";
import type { TRAIN_OPTIONS } from "./tables/train.ts";
import type { BoundRows } from "./task.ts";
import type { Terminal } from "./terminal.ts";
import type { Watched } from "./watch/watch-run.ts";

/** The settings of `train`. */
export type TrainSettings = Settings<typeof TRAIN_OPTIONS>;

/** What is trained on what, on a device. */
export interface OnDevice {
  readonly model: LoadedModel;
  readonly adapter: Adapter;
  readonly train: BoundRows;
  readonly valid: BoundRows | undefined;
}

/** A training run. */
export interface Run {
  /** Another one after a device was lost. */
  live: OnDevice;
  /** Makes the same on another device. */
  readonly reopen: () => Promise<OnDevice>;
  readonly settings: TrainSettings;
  readonly terminal: Terminal;
  /** The processes that train with this one; undefined where it is alone. */
  readonly peers: Peers | undefined;
  /** Where it goes on from; undefined where it begins. */
  readonly resumed: Resumed | undefined;
  /** What checkpoints note of it. */
  readonly notes: Omit<RunNotes, "best">;
  /** What the model card tells of the losses. */
  readonly losses: LossCurve;
  /** What is noted about it in its folder. */
  readonly about: Watched["about"];
  /** The configuration that it runs again from. */
  readonly config: string;
}
