import { Device } from "../../src/gpu/device.ts";

/** Limits of the portable floor, as far as they are read. */
const LIMITS = {
  maxBufferSize: 2 ** 28,
  maxStorageBufferBindingSize: 2 ** 27,
  maxComputeWorkgroupsPerDimension: 65_535,
  minUniformBufferOffsetAlignment: 256,
};

const nothing = () => {};

/** All that is staged is written here: at most so much at a time. */
const STAGING = new ArrayBuffer(2 ** 16);

/**
 * A device that takes everything, keeps nothing and computes nothing: what reads files can be run to its end without a
 * driver, and needs memory for what it reads alone.
 */
export function idleDevice(): Device {
  const buffer = { destroy: nothing, unmap: nothing, getMappedRange: () => STAGING };
  const pass = { setPipeline: nothing, setBindGroup: nothing, dispatchWorkgroups: nothing, end: nothing };
  const encoder = { beginComputePass: () => pass, copyBufferToBuffer: nothing, finish: () => ({}) };
  const gpu = {
    limits: LIMITS,
    queue: { writeBuffer: nothing, submit: nothing, onSubmittedWorkDone: async () => {} },
    lost: new Promise(nothing),
    addEventListener: nothing,
    pushErrorScope: nothing,
    popErrorScope: async () => null,
    createBuffer: () => buffer,
    createCommandEncoder: () => encoder,
    createBindGroupLayout: () => ({}),
    createPipelineLayout: () => ({}),
    createShaderModule: () => ({}),
    createComputePipeline: () => ({}),
    createBindGroup: () => ({}),
    destroy: nothing,
  };
  return new Device(gpu as unknown as GPUDevice, {
    name: "idle",
    vendor: "",
    architecture: "",
    software: true,
    subgroupSize: 0,
    f16: false,
    timestamps: false,
  });
}
