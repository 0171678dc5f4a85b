// A GPU's driver and compiler without the GPU: Mesa's shim answers in place of an AMD kernel driver and drops the commands,
// so that Dawn opens the real Vulkan driver of a card that is not there. It validates every launch and compiles every
// pipeline to the card's own code; nothing is computed.
import { existsSync } from "node:fs";
import { fail } from "../../src/util/fail.ts";
import { nearest } from "../../src/util/nearest.ts";

const SHIM = "/usr/lib/x86_64-linux-gnu/libamdgpu_noop_drm_shim.so";
const DRIVER = "/usr/share/vulkan/icd.d/radeon_icd.json";

/** Cards that the shim knows: RDNA 3.5, 3, 2 and 1, GCN 5 and 4. */
export const CARDS = ["gfx1150", "navi31", "navi21", "navi10", "vega10", "raven", "polaris10"] as const;

/** A card that the shim knows. */
export type Card = (typeof CARDS)[number];

/** A card by what somebody wrote. @throws LoraError that lists those that there are */
export function cardOf(name: string): Card {
  const known = CARDS.find((card) => card === name);
  if (known) return known;
  const meant = nearest(name, CARDS);
  const hint = meant === undefined ? "" : `; did you mean ${meant}?`;
  return fail("gpu", `there is no card "${name}"${hint}`, `cards: ${CARDS.join(", ")}`);
}

/** Why no card's driver can be opened here, with the remedy; undefined where it can. */
export function missingDriver(): string | undefined {
  const missing = [SHIM, DRIVER].filter((path) => !existsSync(path));
  return missing.length > 0
    ? `${missing.join(" and ")} missing: install mesa-drm-shim and mesa-vulkan-drivers 25 (.ci/install-drivers does)`
    : undefined;
}

/**
 * The environment of a process that opens a card's driver.
 * @param debug what the compiler prints on standard error, in the words of Mesa's RADV_DEBUG
 */
export function driverEnvironment(card: Card, debug: string): NodeJS.ProcessEnv {
  return {
    ...process.env,
    ...{ AMDGPU_GPU_ID: card, VK_DRIVER_FILES: DRIVER, LD_PRELOAD: SHIM, RADV_DEBUG: debug },
    ...{ WEBGPU_LORA_ADAPTER: "", WEBGPU_LORA_PROFILE: "" },
  };
}
