// Makes a driver of this process that loses its device on demand.
import { execFileSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

const SOURCE = "scripts/lost-device/losing-driver.c";
const LAVAPIPE = "/usr/share/vulkan/icd.d/lvp_icd.json";

/** A driver that does as told. */
export interface LosingDriver {
  /** Loses the device at its next submission. */
  lose(): void;
  /** Has no memory from now on. */
  exhaust(): void;
  /** Is sound again, for another device. */
  recover(): void;
}

/**
 * Compiles the driver, with lavapipe behind it, and lets the processes that have `environment` use it.
 * @returns undefined where there is no lavapipe or no C compiler
 */
export function buildLosingDriver(
  folder: string,
): { environment: Record<string, string>; driver: LosingDriver } | undefined {
  const library = join(folder, "losing-driver.so");
  const manifest = join(folder, "losing-driver.json");
  const triggers = { LOSE_DEVICE: join(folder, "lose-device"), NO_MEMORY: join(folder, "no-memory") };
  try {
    const { ICD } = JSON.parse(readFileSync(LAVAPIPE, "utf8"));
    execFileSync("cc", ["-shared", "-fPIC", "-O1", "-o", library, resolve(SOURCE), "-ldl"]);
    writeFileSync(
      manifest,
      JSON.stringify({ file_format_version: "1.0.0", ICD: { ...ICD, library_path: library } }),
    );
    const real = resolve(dirname(LAVAPIPE), ICD.library_path);
    const environment = {
      VK_ICD_FILENAMES: manifest,
      VK_DRIVER_FILES: manifest,
      WEBGPU_LORA_ADAPTER: "", // which would choose another one
      REAL_DRIVER: ICD.library_path.includes("/") ? real : ICD.library_path,
      ...triggers,
    };
    const driver = {
      lose: () => writeFileSync(triggers.LOSE_DEVICE, ""),
      exhaust: () => writeFileSync(triggers.NO_MEMORY, ""),
      recover: () => {
        for (const file of Object.values(triggers)) rmSync(file, { force: true });
      },
    };
    return { environment, driver };
  } catch (error) {
    console.warn(`no driver that loses its device: ${error instanceof Error ? error.message : error}`);
    return undefined;
  }
}
