import fill from "../../shaders/fill.wgsl";
import type { Device } from "../../src/gpu/device.ts";
import { fromArray, type Tensor } from "../../src/gpu/tensor.ts";
import { foldGrid } from "../../src/kernels/grid.ts";
import { openNodeDevice } from "../../src/platform/node-gpu.ts";

const open: Promise<Device>[] = [];

/** The device that all tests of a file share. Buffers that return to the pool are filled with NaN. */
export function testDevice(): Promise<Device> {
  open[0] ??= openNodeDevice().then(poison);
  return open[0];
}

export async function closeTestDevices(): Promise<void> {
  for (const device of await Promise.all(open.splice(0))) device.close();
}

/** A freed buffer that somebody still reads shows up as NaN at once. */
function poison(device: Device): Device {
  device.choices.clear(); // what somebody measured on this machine must not change what is tested
  device.memory.onRelease = (storage) => {
    // A buffer may be longer than what was bound of it. A binding begins at a multiple of 256 bytes.
    const most = Math.floor(device.bindingLimit / 256) * 256;
    for (let byteOffset = 0; byteOffset < storage.size; byteOffset += most) {
      const byteLength = Math.min(most, storage.size - byteOffset);
      const count = byteLength / 4;
      device.run(fill, "forward", {
        bind: { y: { storage, byteOffset, byteLength } },
        params: { count, bits: 0x7fc00000 },
        grid: foldGrid(Math.ceil(count / 64)),
      });
    }
  };
  return device;
}

/** f32 tensor from plain numbers. */
export function floats(device: Device, values: ArrayLike<number>, shape: readonly number[]): Tensor {
  return fromArray(device, Float32Array.from(values), shape);
}
