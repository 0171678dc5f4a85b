import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import { openNodeDevice } from "../../src/platform/node-gpu.ts";
import { findArchive, preload, tarFiles, unpackSwiftShader } from "../../src/platform/node-swiftshader.ts";
import { temporaryFolder } from "./environment.ts";

afterEach(() => {
  vi.unstubAllEnvs();
});

const archive = findArchive();
const DRIVER_FILES = ["libvk_swiftshader.so", "libvulkan.so.1", "vk_swiftshader_icd.json"];

describe("tarFiles", () => {
  test("reads what tar writes: any size, any depth, long runs of padding", () => {
    const folder = temporaryFolder();
    const sizes: Record<string, number> = {
      empty: 0,
      one: 1,
      block: 512,
      "block-and-one": 513,
      "in/a/folder": 70_000,
    };
    mkdirSync(join(folder, "in/a"), { recursive: true });
    for (const [name, size] of Object.entries(sizes))
      writeFileSync(join(folder, name), Buffer.alloc(size, name));
    const tar = execFileSync("tar", ["cf", "-", "-C", folder, "."], { maxBuffer: 2 ** 20 });
    const files = tarFiles(tar);
    for (const [name, size] of Object.entries(sizes)) {
      expect(files.get(name), name).toEqual(Buffer.alloc(size, name));
    }
  });

  test("an empty archive holds nothing", () => {
    expect(tarFiles(Buffer.alloc(1024)).size).toBe(0);
  });
});

describe.skipIf(!archive)("unpackSwiftShader (Linux on x64)", () => {
  const unpack = (...caches: string[]) => unpackSwiftShader(archive as string, caches);

  test("unpacks the driver, its manifest and a loader, once", async () => {
    const cache = join(temporaryFolder(), "not/there/yet");
    const folder = await unpack(cache);
    expect(readdirSync(folder).sort()).toEqual(DRIVER_FILES);
    expect(await unpack(cache)).toBe(folder);
  });

  test("of several that unpack at once, all get the same whole folder", async () => {
    const cache = temporaryFolder();
    const folders = await Promise.all(Array.from({ length: 4 }, () => unpack(cache)));
    expect(new Set(folders).size).toBe(1);
    expect(readdirSync(cache)).toHaveLength(1);
    expect(readdirSync(folders[0] as string).sort()).toEqual(DRIVER_FILES);
  });

  test("a cache that cannot be written is passed over, for another or for a temporary folder", async () => {
    const file = join(temporaryFolder(), "file");
    writeFileSync(file, "");
    const cache = temporaryFolder();
    expect(await unpack(join(file, "cache"), cache)).toMatch(cache);
    vi.stubEnv("TMPDIR", temporaryFolder());
    const temporary = await unpack(join(file, "cache"));
    expect(temporary).toMatch(process.env.TMPDIR as string);
    expect(readdirSync(temporary).sort()).toEqual(DRIVER_FILES);
  });

  test("a folder that others may write to is not used", async () => {
    const [open, cache] = [temporaryFolder(), temporaryFolder()];
    chmodSync(await unpack(open), 0o777);
    expect(await unpack(open, cache)).toMatch(cache);
  });

  test("a damaged archive is reported", async () => {
    const broken = join(temporaryFolder(), "broken.tar.br");
    writeFileSync(broken, "no brotli");
    await expect(unpackSwiftShader(broken, [temporaryFolder()])).rejects.toThrow();
  });
});

test.runIf(process.platform === "linux")("preload names the library that is missing", () => {
  expect(preload("libno-such-thing.so.7")).toMatch(/libno-such-thing\.so\.7: cannot open shared object file/);
});

describe("openNodeDevice", () => {
  const { VK_ICD_FILENAMES, VK_DRIVER_FILES } = process.env;
  afterEach(() => {
    vi.doUnmock("../../src/platform/node-swiftshader.ts");
    for (const [name, value] of Object.entries({ VK_ICD_FILENAMES, VK_DRIVER_FILES })) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  });

  test("refuses an adapter that it does not know", async () => {
    vi.stubEnv("WEBGPU_LORA_ADAPTER", "swiftshader,lavapipe");
    await expect(openNodeDevice()).rejects.toMatchObject({ kind: "input", message: /"lavapipe" is unknown/ });
  });

  test("opens the portable floor on request", async () => {
    vi.stubEnv("WEBGPU_LORA_ADAPTER", "floor");
    const device = await openNodeDevice();
    expect(device.info).toMatchObject({ subgroupSize: 0, f16: false, timestamps: false });
    expect(device.limits.maxComputeInvocationsPerWorkgroup).toBe(256);
    expect(device.limits.maxStorageBuffersPerShaderStage).toBe(8);
    device.close();
  });

  test("launches kernels as on another kind of device on request", async () => {
    vi.stubEnv("WEBGPU_LORA_PROFILE", "gpu");
    const device = await openNodeDevice();
    expect(device.profile).toMatchObject({ name: "gpu", sharesWork: true });
    device.close();
    vi.stubEnv("WEBGPU_LORA_PROFILE", "tpu");
    await expect(openNodeDevice()).rejects.toThrow(/"tpu" is unknown[\s\S]*cpu-rasteriser or gpu/);
  });

  test.skipIf(!archive)("opens SwiftShader on request, and says that it is software", async () => {
    vi.stubEnv("WEBGPU_LORA_ADAPTER", "swiftshader");
    const device = await openNodeDevice();
    expect(device.info).toMatchObject({ name: expect.stringMatching(/SwiftShader/), software: true });
    device.close();
  });

  test.skipIf(!archive)("falls back to SwiftShader where the system's driver does not start", async () => {
    vi.stubEnv("WEBGPU_LORA_ADAPTER", "");
    process.env.VK_ICD_FILENAMES = "/no/such/driver.json";
    process.env.VK_DRIVER_FILES = "/no/such/driver.json";
    const device = await openNodeDevice();
    expect(device.info.name).toMatch(/SwiftShader/);
    device.close();
  });

  test("says what to install where there is no adapter at all", async () => {
    vi.stubEnv("WEBGPU_LORA_ADAPTER", "swiftshader");
    vi.doMock("../../src/platform/node-swiftshader.ts", () => ({
      useSwiftShader: async () => "libfoo.so is missing",
    }));
    vi.resetModules();
    const fresh = await import("../../src/platform/node-gpu.ts");
    await expect(fresh.openNodeDevice()).rejects.toMatchObject({
      kind: "no-adapter",
      message: expect.stringMatching(
        /libfoo\.so is missing[\s\S]*mesa-vulkan-drivers[\s\S]*@sparticuz\/chromium/,
      ),
    });
  });
});

test("a device in Node sleeps while it is waited for", async () => {
  const device = await openNodeDevice();
  const sleep = vi.spyOn(Atomics, "wait");
  try {
    await device.sync();
    await device.waitFor(new Promise((resolve) => setTimeout(resolve, 30)));
    expect(sleep).toHaveBeenCalled();
  } finally {
    sleep.mockRestore();
    device.close();
  }
});
