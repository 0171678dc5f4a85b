import type { Target } from "./target.ts";
import { safetensors } from "./targets/safetensors.ts";

/** Every kind of input, by the name that the command line has for it. */
export const TARGETS: Readonly<Record<string, Target>> = { safetensors };
