import { Device, type DeviceInfo } from "./device.ts";
import type { KernelSource } from "./kernel.ts";
import { Ledger } from "./ledger.ts";
import type { ProfileName } from "./profile.ts";
import { type ShapeBytes, ShapeGpu } from "./shape-gpu.ts";

/** The limits that the engine asks a device for. */
const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxComputeWorkgroupsPerDimension",
  "minUniformBufferOffsetAlignment",
] as const;

/** All that the engine's decisions depend on: which kernels run, in which windows, with how much memory. */
export interface DeviceFacts {
  /** What is known of the adapter. */
  readonly info: DeviceInfo;
  /** What kernels go by. */
  readonly profile: ProfileName;
  /** By WebGPU's names, in bytes where they are sizes. */
  readonly limits: Readonly<Record<(typeof LIMITS)[number], number>>;
  /** Variants of kernels that were measured to be the fastest there. */
  readonly choices?: ReadonlyMap<string, string>;
}

/** What a shape-only device has to know of a device to behave like it. */
export function factsOf({ info, profile, limits, choices, bindingLimit }: Device): DeviceFacts {
  return {
    info,
    profile: profile.name,
    limits: {
      ...(Object.fromEntries(LIMITS.map((name) => [name, limits[name]])) as DeviceFacts["limits"]),
      maxStorageBufferBindingSize: bindingLimit,
    },
    choices: choices.all,
  };
}

/** A graphics card as most are: 2 GiB for a buffer and a binding, subgroups of 32. */
export const TYPICAL_GPU: DeviceFacts = {
  info: {
    ...{ name: "a typical GPU", vendor: "", architecture: "" },
    ...{ software: false, subgroupSize: 32, f16: true, timestamps: false },
  },
  profile: "gpu",
  limits: {
    maxBufferSize: 2 ** 31,
    maxStorageBufferBindingSize: 2 ** 31 - 4,
    maxComputeWorkgroupsPerDimension: 65_535,
    minUniformBufferOffsetAlignment: 256,
  },
};

/** A device that only counts. */
export interface ShapeDevice {
  /** Everything runs on it, and computes nothing. */
  readonly device: Device;
  /** Whose memory is whose. */
  readonly ledger: Ledger;
  /** What was allocated, beside the pool too. */
  readonly stats: Readonly<ShapeBytes>;
  /** Kernels that were compiled so far, in order: those that the device would compile that it is like. */
  readonly kernels: readonly KernelSource[];
}

/**
 * A device that decides everything like the one it is told of and computes nothing: its buffers are numbers, its dispatches
 * are dropped, and what is read of it is 1 everywhere. What runs on it takes the memory, in the books, that it takes on
 * that device.
 */
export function openShapeDevice({ info, profile, limits, choices }: DeviceFacts): ShapeDevice {
  const shape = new ShapeGpu(limits);
  const device = new Device(shape.gpu, info, { profile });
  for (const [question, answer] of choices ?? []) device.choices.set(question, answer);
  const kernels: KernelSource[] = [];
  const ledger = new Ledger(device, shape);
  shape.watcher.onCompile = (kernel) => kernels.push(kernel);
  return { device, ledger, stats: shape.stats, kernels };
}
