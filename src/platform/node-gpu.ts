import { DEVICE_RULES, type Device, type DeviceOptions } from "../gpu/device.ts";
import { PROFILE_NAMES, type ProfileName } from "../gpu/profile.ts";
import { requestDevice } from "../kernels/request-device.ts";
import { fail, LoraError } from "../util/fail.ts";
import { checkOptions } from "../util/options.ts";
import { nodeChoices } from "./node-choices.ts";
import { preload, useSwiftShader } from "./node-swiftshader.ts";
import { waitAsleep } from "./node-wait.ts";

/**
 * Dawn aborts the process if its instance is collected while a device lives, so each is kept for good, by its flags and
 * the drivers that it was made with, and used again.
 */
const instances = new Map<string, GPU>();

const NO_ADAPTER_HELP =
  "install a Vulkan driver (Debian/Ubuntu without a GPU: mesa-vulkan-drivers 25 or newer) or, for a slow but " +
  "self-contained software device, `npm install --save-dev @sparticuz/chromium`";

/**
 * Opens a device in Node: the system's GPU or software driver through Dawn, else SwiftShader where it is installed. A runtime that
 * has WebGPU itself, such as Deno with `--unstable-webgpu`, needs no Dawn.
 * `WEBGPU_LORA_ADAPTER=swiftshader` forces the latter, `=floor` the portable floor of limits and features; a comma
 * joins the two. `WEBGPU_LORA_PROFILE=gpu` or `=cpu-rasteriser` launches kernels as on such a device.
 * @throws LoraError of kind `no-adapter` with what to install, and for an option that there is not.
 */
export async function openNodeDevice(options: DeviceOptions = {}): Promise<Device> {
  checkOptions("openDevice", options, DEVICE_RULES);
  const { swiftShader, floor } = readEnvironment();
  const profile = options.profile ?? readProfile();
  const settings = {
    ...{ choices: nodeChoices(), wait: waitAsleep, ...options },
    ...(floor && { floor }),
    ...(profile && { profile }),
  };
  const own = globalThis.navigator?.gpu as GPU | undefined;
  if (own && !swiftShader) {
    const { wait } = options; // sleeping between polls is for Dawn
    const device = await requestDevice(own, { ...settings, wait });
    if (device) return device;
  }
  if (!swiftShader && hasDriverLoader()) {
    const device = await tryOpen(settings);
    if (device) return device;
  }
  const problem = await useSwiftShader();
  const device = problem === undefined ? await tryOpen(settings) : undefined;
  if (device) return device;
  const reason = problem ?? "SwiftShader did not start";
  throw new LoraError("no-adapter", "openDevice", `no WebGPU adapter was found; ${reason}`, NO_ADAPTER_HELP);
}

function readEnvironment(): { swiftShader: boolean; floor: boolean } {
  const words = (process.env.WEBGPU_LORA_ADAPTER ?? "").split(",").filter(Boolean);
  const unknown = words.find((word) => word !== "swiftshader" && word !== "floor");
  if (unknown)
    fail("WEBGPU_LORA_ADAPTER", `"${unknown}" is unknown`, "it may hold swiftshader, floor or both");
  return { swiftShader: words.includes("swiftshader"), floor: words.includes("floor") };
}

function readProfile(): ProfileName | undefined {
  const given = process.env.WEBGPU_LORA_PROFILE;
  const known = PROFILE_NAMES.find((name) => name === given);
  if (given && !known)
    fail("WEBGPU_LORA_PROFILE", `"${given}" is unknown`, `it may be ${PROFILE_NAMES.join(" or ")}`);
  return known;
}

/** Dawn warns on the console where Linux has no Vulkan loader at all; asked first, it need not. */
function hasDriverLoader(): boolean {
  return process.platform !== "linux" || !/cannot open shared object/.test(preload("libvulkan.so.1") ?? "");
}

async function tryOpen(options: DeviceOptions): Promise<Device | undefined> {
  const { create, globals } = await importDawn();
  Object.assign(globalThis, globals);
  // Unquantised timestamps are needed to time single kernels.
  // Experimental features are shown only where somebody asks for one.
  const flags = options.halfPrecision ? ["enable-dawn-features=allow_unsafe_apis"] : [];
  const { VK_ICD_FILENAMES, VK_DRIVER_FILES } = process.env;
  const key = [...flags, VK_ICD_FILENAMES, VK_DRIVER_FILES].join("\n");
  const instance =
    instances.get(key) ?? (create(["disable-dawn-features=timestamp_quantization", ...flags]) as GPU);
  instances.set(key, instance);
  return requestDevice(instance, options);
}

async function importDawn(): Promise<typeof import("webgpu")> {
  try {
    return await import("webgpu");
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const help =
      code === "ERR_MODULE_NOT_FOUND" ? "npm install webgpu" : "install the library that the message names";
    throw new LoraError("no-adapter", "openDevice", `the package "webgpu" did not load (${message})`, help);
  }
}
