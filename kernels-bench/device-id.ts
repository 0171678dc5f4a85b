import { cardName, type Device } from "../src/gpu/device.ts";

/** A short name of the hardware, such as `nvidia-h200`, for file names. */
export function deviceId({ gpu, info }: Pick<Device, "gpu" | "info">): string {
  const device = gpu.adapterInfo?.device ?? "";
  // Dawn calls the hardware by its name in `device`, and its description is the driver's. Deno has a number there and
  // the name in the description.
  const hardware = cardName(device) ?? (device === "" ? info.name.replace(/[:(].*/, "") : info.name);
  const id = hardware
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "");
  return id || "device";
}
