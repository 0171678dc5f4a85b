import type { EngineLoadOptions } from "../../engine/protocol.ts";
import { isObject } from "../../util/json.ts";

/** How many bits the model's weights have in memory. */
export type WeightBits = "stored" | "8" | "4";

/** Which model is open, as the page remembers it. */
export interface ModelChoice {
  readonly from: "bundled" | "hub" | "folder";
  /** Its hub id, or what the folder or the file is called. */
  readonly name: string;
  readonly bits: WeightBits;
}

/** The model that comes with the page. */
export const BUNDLED: ModelChoice = { from: "bundled", name: "webgpu-lora-demo", bits: "stored" };

/** Whether what was kept is a choice of this page. */
export function isChoice(kept: unknown): kept is ModelChoice {
  if (!isObject(kept)) return false;
  const { from, name, bits } = kept;
  const isKnown = ["bundled", "hub", "folder"].includes(String(from));
  return isKnown && typeof name === "string" && ["stored", "8", "4"].includes(String(bits));
}

/** How a model is loaded for a choice. */
export function loadOptions({ bits }: ModelChoice): EngineLoadOptions {
  if (bits === "stored") return {};
  return { quantization: bits === "8" ? "int8" : "nf4" };
}

/** Whether two choices are of one model in the same bits. */
export function isSameModel(a: ModelChoice, b: ModelChoice): boolean {
  return a.from === b.from && a.name === b.name && a.bits === b.bits;
}
