import { type Device, type DeviceOptions, requestBareDevice } from "../gpu/device.ts";
import { loadShaders } from "./load-shaders.ts";

/**
 * Opens the device of a WebGPU implementation with the highest limits that its adapter offers.
 * @returns undefined where there is no adapter.
 */
export async function requestDevice(gpu: GPU, options: DeviceOptions = {}): Promise<Device | undefined> {
  const device = await requestBareDevice(gpu, options);
  if (device) await loadShaders(device);
  return device;
}
