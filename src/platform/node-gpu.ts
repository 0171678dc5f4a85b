import { existsSync } from "node:fs";
import { copyFile, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { homedir, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { brotliDecompress } from "node:zlib";
import { type Device, type DeviceOptions, requestDevice } from "../gpu/device.ts";
import { LoraError } from "../util/fail.ts";

const require = createRequire(import.meta.url);
const decompress = promisify(brotliDecompress);

/** Dawn aborts the process if its instance is collected while a device lives, so it is kept for good. */
const instances: GPU[] = [];

const NO_ADAPTER_HELP =
  "install a Vulkan driver (Debian/Ubuntu without a GPU: mesa-vulkan-drivers 25 or newer) or, for a slow but " +
  "self-contained software device, `npm install --save-dev @sparticuz/chromium`";

/**
 * Opens a device in Node: the system's GPU or software driver through Dawn, else SwiftShader from the
 * development dependency `@sparticuz/chromium` (Linux, x64).
 * `WEBGPU_LORA_ADAPTER=swiftshader` forces the latter, `=floor` the portable floor of limits and features.
 * @throws LoraError of kind `no-adapter` with what to install.
 */
export async function openNodeDevice(options: DeviceOptions = {}): Promise<Device> {
  const wanted = process.env.WEBGPU_LORA_ADAPTER ?? "";
  const settings = wanted.includes("floor") ? { ...options, floor: true } : options;
  if (!wanted.includes("swiftshader")) {
    const device = await tryOpen(settings);
    if (device) return device;
  }
  const icd = await prepareSwiftShader();
  if (icd) {
    process.env.VK_ICD_FILENAMES = icd;
    process.env.VK_DRIVER_FILES = icd;
    const device = await tryOpen(settings);
    if (device) return device;
  }
  throw new LoraError("no-adapter", "openDevice", "no WebGPU adapter was found", NO_ADAPTER_HELP);
}

async function tryOpen(options: DeviceOptions): Promise<Device | undefined> {
  const { create, globals } = await importDawn();
  Object.assign(globalThis, globals);
  // Unquantised timestamps are needed to time single kernels.
  const instance = create(["disable-dawn-features=timestamp_quantization"]) as GPU;
  instances.push(instance);
  return requestDevice(instance, options);
}

async function importDawn(): Promise<typeof import("webgpu")> {
  try {
    return await import("webgpu");
  } catch (cause) {
    throw new LoraError("no-adapter", "openDevice", `the package "webgpu" did not load (${String(cause)})`, "npm install webgpu");
  }
}

/**
 * Unpacks SwiftShader (driver, its manifest, a Vulkan loader) into a cache folder and puts the loader beside
 * dawn.node, where Dawn looks for it. Returns the manifest's path, or undefined where it is not to be had.
 */
async function prepareSwiftShader(): Promise<string | undefined> {
  if (process.platform !== "linux" || process.arch !== "x64") return undefined;
  const archive = resolveOptional("@sparticuz/chromium", "../../bin/swiftshader.tar.br");
  const dawn = resolveOptional("webgpu", "dist/linux-x64/dawn.node");
  if (!archive || !dawn) return undefined;
  const folder = join(process.env.XDG_CACHE_HOME ?? join(homedir() || tmpdir(), ".cache"), "webgpu-lora", "swiftshader");
  if (!existsSync(join(folder, MANIFEST))) await unpack(archive, folder);
  const loader = join(dirname(dawn), "libvulkan.so.1");
  if (!existsSync(loader)) await copyFile(join(folder, "libvulkan.so.1"), loader);
  return join(folder, MANIFEST);
}

const MANIFEST = "vk_swiftshader_icd.json";
const WANTED = new Set(["libvk_swiftshader.so", "libvulkan.so.1", MANIFEST]);

async function unpack(archive: string, folder: string): Promise<void> {
  const files = [...tarEntries(await decompress(await readFile(archive)))].filter(({ name }) => WANTED.has(name));
  const partial = `${folder}.${process.pid}`;
  await mkdir(partial, { recursive: true });
  for (const { name, data } of files) await writeFile(join(partial, name), data);
  await rename(partial, folder).catch(() => rm(partial, { recursive: true })); // another process was first
}

/** Files of an uncompressed tar archive: 512-byte headers (name at 0, octal size at 124), data padded to 512. */
function* tarEntries(tar: Buffer): Generator<{ name: string; data: Buffer }> {
  for (let at = 0; at + 512 <= tar.length && tar[at] !== 0; ) {
    const name = tar.toString("latin1", at, at + 100).replace(/\0.*$/, "");
    const size = Number.parseInt(tar.toString("latin1", at + 124, at + 136), 8);
    yield { name, data: tar.subarray(at + 512, at + 512 + size) };
    at += 512 + Math.ceil(size / 512) * 512;
  }
}

function resolveOptional(name: string, relative: string): string | undefined {
  try {
    const path = join(dirname(require.resolve(name)), relative);
    return existsSync(path) ? path : undefined;
  } catch {
    return undefined;
  }
}
