import type { Device } from "./device.ts";

/** Bytes of one trial buffer: small enough that any device may have some. */
const PIECE = 256 * 2 ** 20;
const COPY_DST = 0x8;

/**
 * Asks a device for memory until there is no more, and gives all of it back.
 * @param bytes most that is asked for
 * @param touch whether to write to it: a driver may promise what it has not. On a software device that is the computer's
 * own memory, whose end may end other programs
 * @returns bytes that it gave
 */
export async function probeMemory({ gpu }: Device, bytes: number, touch: boolean): Promise<number> {
  const piece = Math.min(PIECE, gpu.limits.maxBufferSize);
  const buffers: GPUBuffer[] = [];
  let got = 0;
  try {
    while (got < bytes) {
      const size = Math.ceil(Math.min(piece, bytes - got) / 4) * 4;
      gpu.pushErrorScope("validation");
      gpu.pushErrorScope("out-of-memory");
      const buffer = gpu.createBuffer({ size, usage: COPY_DST });
      buffers.push(buffer);
      if (touch) {
        const encoder = gpu.createCommandEncoder();
        encoder.clearBuffer(buffer);
        gpu.queue.submit([encoder.finish()]);
      }
      const errors = [gpu.popErrorScope(), gpu.popErrorScope()];
      if (touch) await gpu.queue.onSubmittedWorkDone();
      if ((await Promise.all(errors)).some((error) => error !== null)) break;
      got += size;
    }
  } finally {
    for (const buffer of buffers) buffer.destroy();
  }
  return Math.min(got, bytes);
}
