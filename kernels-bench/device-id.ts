import type { Device } from "../src/gpu/device.ts";

/** A short name of the hardware, such as `nvidia-h200`, for file names. */
export function deviceId({ gpu, info }: Device): string {
  // Dawn's description is the driver's; what the hardware is called stands in `device`.
  const hardware = gpu.adapterInfo?.device || info.name.replace(/[:(].*/, "");
  const id = hardware
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "");
  return id || "device";
}
