import { ADALORA } from "./adalora-codec.ts";
import { BEFT } from "./beft-codec.ts";
import type { MethodKind } from "./codec.ts";
import type { PeftConfig } from "./config-fields.ts";
import { IA3 } from "./ia3-codec.ts";
import { LN_TUNING } from "./ln-tuning-codec.ts";
import { LOHA } from "./loha-codec.ts";
import { LOKR } from "./lokr-codec.ts";
import { LORA } from "./lora-codec.ts";
import type { Method } from "./method.ts";
import { OFT } from "./oft-codec.ts";
import { P_TUNING } from "./p-tuning-codec.ts";
import { PREFIX_TUNING } from "./prefix-tuning-codec.ts";
import { PROMPT_TUNING } from "./prompt-tuning-codec.ts";
import { VERA } from "./vera-codec.ts";

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
