import { adafactorMethod } from "./adafactor.ts";
import { adamW8bitMethod } from "./adamw-8bit.ts";
import { lionMethod } from "./lion.ts";
import type { OptimizerMethod } from "./method.ts";
import { muonMethod } from "./muon.ts";
import { sgdMethod } from "./sgd.ts";

/** The optimisers that few runs use, and that are loaded for those. */
export const OTHERS = {
  adamw_8bit: adamW8bitMethod,
  sgd: sgdMethod,
  lion: lionMethod,
  adafactor: adafactorMethod,
  muon: muonMethod,
} satisfies Readonly<Record<string, OptimizerMethod>>;
