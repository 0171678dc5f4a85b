import { type AnyKind, asAny } from "./codec.ts";

/** Every method of the registry; their codecs stay out of a page that has no file of another method than LoRA. */
export async function methodKinds(): Promise<readonly AnyKind[]> {
  return (await import("./methods.ts")).METHODS;
}

/** The method of a `peft_type`. Of LoRA none of the others is loaded. */
export async function methodKind(type: string): Promise<AnyKind | undefined> {
  if (type === "LORA") return asAny((await import("./lora/lora-codec.ts")).LORA);
  return (await methodKinds()).find((kind) => kind.type === type);
}
