import { ADALORA } from "./adalora/adalora-codec.ts";
import { BEFT } from "./beft/beft-codec.ts";
import type { MethodKind } from "./codec.ts";
import type { PeftConfig } from "./config-fields.ts";
import { IA3 } from "./ia3/ia3-codec.ts";
import { LN_TUNING } from "./ln-tuning/ln-tuning-codec.ts";
import { LORA } from "./lora/lora-codec.ts";
import { LOHA } from "./lycoris/loha-codec.ts";
import { LOKR } from "./lycoris/lokr-codec.ts";
import type { Method } from "./method.ts";
import { OFT } from "./oft/oft-codec.ts";
import { P_TUNING } from "./prompts/p-tuning-codec.ts";
import { PREFIX_TUNING } from "./prompts/prefix-tuning-codec.ts";
import { PROMPT_TUNING } from "./prompts/prompt-tuning-codec.ts";
import { VERA } from "./vera/vera-codec.ts";

/** A method whose own types stay between its parts. */
export type AnyKind = MethodKind<Method, PeftConfig>;

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
];

/** A codec is given what it has made itself: adapters of its method, configurations of its fields. */
function asAny<M extends Method, C extends PeftConfig>(kind: MethodKind<M, C>): AnyKind {
  return kind as unknown as AnyKind;
}

/** The method of a `peft_type`. */
export function methodKind(type: string): AnyKind | undefined {
  return METHODS.find((kind) => kind.type === type);
}
