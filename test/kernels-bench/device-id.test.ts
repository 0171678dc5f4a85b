import { expect, test } from "vitest";
import { deviceId } from "../../kernels-bench/device-id.ts";
import { describeAdapter } from "../../src/gpu/device.ts";

/** The file name for what an adapter says of itself. */
function idOf(given: Partial<GPUAdapterInfo>): string {
  const none = { vendor: "", architecture: "", device: "", description: "", isFallbackAdapter: false };
  const adapterInfo = { ...none, ...given } as GPUAdapterInfo;
  return deviceId({
    gpu: { adapterInfo } as GPUDevice,
    info: { ...describeAdapter(adapterInfo, new Set()) },
  });
}

test("a device has one name for files, whether Dawn or Deno tells of it", () => {
  const dawn = {
    vendor: "nvidia",
    architecture: "hopper",
    device: "nvidia-h200",
    description: "NVIDIA: 550.54.15",
  };
  expect(idOf(dawn)).toBe("nvidia-h200");
  expect(idOf({ vendor: "4318", device: "9013", description: "NVIDIA H200" })).toBe("nvidia-h200");
  const rasteriser = {
    device: "llvmpipe-llvm-15-0-6-256-bits-",
    description: "llvmpipe: Mesa 22.3.6 (LLVM 15.0.6)",
  };
  expect(idOf(rasteriser)).toBe("llvmpipe-llvm-15-0-6-256-bits");
  const inDeno = { vendor: "65541", device: "0", description: "llvmpipe (LLVM 15.0.6, 256 bits)" };
  expect(idOf(inDeno)).toBe("llvmpipe-llvm-15-0-6-256-bits");
});

test("without a name, what is known of it", () => {
  expect(idOf({ vendor: "4318", device: "9013" })).toBe("nvidia-9013");
  expect(idOf({ description: "Apple M2 (Metal)" })).toBe("apple-m2");
  expect(idOf({})).toBe("unnamed-adapter");
});
