import { DEVICE_RULES, type Device, type DeviceOptions } from "../gpu/device.ts";
import { requestDevice } from "../kernels/request-device.ts";
import { LoraError } from "../util/fail.ts";
import { checkOptions } from "../util/options.ts";
import { webChoices } from "./web-choices.ts";

/**
 * Opens the device of a browser or of Deno.
 * @throws LoraError of kind `no-adapter` with what to do about it, and for an option that there is not.
 */
export async function openWebDevice(options: DeviceOptions = {}): Promise<Device> {
  checkOptions("openDevice", options, DEVICE_RULES);
  const gpu = globalThis.navigator?.gpu as GPU | undefined;
  if (!gpu) {
    const help =
      "use a browser with WebGPU on a secure page (https or localhost), or Deno with --unstable-webgpu";
    throw new LoraError("no-adapter", "openDevice", "this environment has no WebGPU", help);
  }
  const device = await requestDevice(gpu, { choices: webChoices(), ...options });
  if (device) return device;
  const help =
    "check that hardware acceleration is on, or allow a software adapter (chrome://flags/#enable-unsafe-webgpu)";
  throw new LoraError("no-adapter", "openDevice", "no WebGPU adapter was found", help);
}
