import { adafactorMethod } from "./adafactor.ts";
import { adamWMethod } from "./adamw.ts";
import { adamW8bitMethod } from "./adamw-8bit.ts";
import { lionMethod } from "./lion.ts";
import type { OptimizerMethod } from "./method.ts";
import { muonMethod } from "./muon.ts";
import { sgdMethod } from "./sgd.ts";

/** Every optimiser, by its name in options. */
const METHODS = {
  adamw: adamWMethod,
  adamw_8bit: adamW8bitMethod,
  sgd: sgdMethod,
  lion: lionMethod,
  adafactor: adafactorMethod,
  muon: muonMethod,
} satisfies Readonly<Record<string, OptimizerMethod>>;

/** Names of optimisers. */
export type OptimizerName = keyof typeof METHODS;

/** The names, and transformers' for the same. */
export const OPTIMIZERS = Object.keys(METHODS) as OptimizerName[];

/** What other tools call each. */
export const OPTIMIZER_ALIASES: ReadonlyMap<string, OptimizerName> = new Map(
  OPTIMIZERS.flatMap((name) => METHODS[name].aliases.map((alias) => [alias, name] as const)),
);

/** An optimiser by its name. */
export const methodOf = (name: OptimizerName): OptimizerMethod => METHODS[name];
