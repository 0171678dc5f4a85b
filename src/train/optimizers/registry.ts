import { late } from "../../util/late.ts";
import { adamWMethod } from "./adamw.ts";
import type { OptimizerMethod } from "./method.ts";

/** Every optimiser by its name in options, with transformers' names for the same. */
const ALIASES = {
  adamw: ["adamw_torch", "adamw_torch_fused"],
  adamw_8bit: ["adamw_bnb_8bit", "adamw_torch_8bit", "paged_adamw_8bit"],
  sgd: [],
  lion: ["lion_32bit"],
  adafactor: [],
  muon: [],
} as const;

/** Names of optimisers. */
export type OptimizerName = keyof typeof ALIASES;

/** The names. */
export const OPTIMIZERS = Object.keys(ALIASES) as OptimizerName[];

/** What other tools call each. */
export const OPTIMIZER_ALIASES: ReadonlyMap<string, OptimizerName> = new Map(
  OPTIMIZERS.flatMap((name) => ALIASES[name].map((alias) => [alias, name] as const)),
);

const OTHERS = late(() => import("./others.ts"));

/** Loads an optimiser, before one is made. */
export async function loadOptimizer(name: OptimizerName): Promise<void> {
  if (name !== "adamw") await OTHERS.load();
}

/** An optimiser by its name, once it is loaded. */
export const methodOf = (name: OptimizerName): OptimizerMethod =>
  name === "adamw" ? adamWMethod : OTHERS.loaded().OTHERS[name];
