import type { Device } from "../../src/gpu/device.ts";

/** Counts the launches that come from a kernel's host code, and not from a replay, until it is undone. */
export class HostLaunches {
  readonly #device: Device;
  count = 0;

  constructor(device: Device) {
    this.#device = device;
    const { kernels } = device;
    const run = kernels.run.bind(kernels);
    kernels.run = (...launch) => {
      this.count++;
      run(...launch);
    };
  }

  undo(): void {
    Reflect.deleteProperty(this.#device.kernels, "run");
  }
}
