import { ADALORA } from "./adalora/adalora-codec.ts";
import { BEFT } from "./beft/beft-codec.ts";
import { BOTTLENECK } from "./bottleneck/bottleneck-codec.ts";
import { type AnyKind, asAny } from "./codec.ts";
import { IA3 } from "./ia3/ia3-codec.ts";
import { LN_TUNING } from "./ln-tuning/ln-tuning-codec.ts";
import { LORA } from "./lora/lora-codec.ts";
import { LOHA } from "./lycoris/loha-codec.ts";
import { LOKR } from "./lycoris/lokr-codec.ts";
import { OFT } from "./oft/oft-codec.ts";
import { P_TUNING } from "./prompts/p-tuning-codec.ts";
import { PREFIX_TUNING } from "./prompts/prefix-tuning-codec.ts";
import { PROMPT_TUNING } from "./prompts/prompt-tuning-codec.ts";
import { VERA } from "./vera/vera-codec.ts";

/** Every method that can be attached by name, written and read. Another method's file adds its line here. */
export const METHODS: readonly AnyKind[] = [
  asAny(LORA),
  asAny(ADALORA),
  asAny(IA3),
  asAny(LOHA),
  asAny(LOKR),
  asAny(VERA),
  asAny(OFT),
  asAny(LN_TUNING),
  asAny(BEFT),
  asAny(PROMPT_TUNING),
  asAny(P_TUNING),
  asAny(PREFIX_TUNING),
  asAny(BOTTLENECK),
];
