import { expect, test } from "vitest";
import { Uniforms } from "../../src/gpu/uniforms.ts";

const words = (...values: number[]) => Uint32Array.from(values);

/** A device that only takes what is written, by offset. */
function fakeGpu() {
  const written = new Map<number, number[]>();
  const gpu = {
    limits: { minUniformBufferOffsetAlignment: 256 },
    createBuffer: () => ({}),
    queue: {
      writeBuffer: (_: GPUBuffer, offset: number, data: Uint32Array) => written.set(offset, [...data]),
    },
  } as unknown as GPUDevice;
  return { gpu, written };
}

test("equal contents share a slot, others have their own", () => {
  const { gpu, written } = fakeGpu();
  const uniforms = new Uniforms(gpu, 4);
  const [a, b] = [uniforms.offsetOf(words(1, 2), 0), uniforms.offsetOf(words(1, 3), 0)];
  expect(uniforms.offsetOf(words(1, 2), 0)).toBe(a);
  expect([a % 256, b % 256, a === b]).toEqual([0, 0, false]);
  expect(written.get(b)).toEqual([1, 3]);
});

test("the slots used longest ago are taken again, and nothing that unsubmitted commands read", () => {
  const { gpu, written } = fakeGpu();
  const uniforms = new Uniforms(gpu, 4);
  const gone: number[] = [];
  uniforms.onEvict = (offsets) => gone.push(...offsets);
  const [a, b, c, d] = [0, 1, 2, 3].map((i) => uniforms.offsetOf(words(i), i));
  uniforms.offsetOf(words(0), 4); // used again
  uniforms.offsetOf(words(4), 4);
  expect(gone.sort()).toEqual([b, c].sort());
  expect(uniforms.offsetOf(words(0), 4)).toBe(a);
  expect(uniforms.offsetOf(words(3), 4)).toBe(d);
  expect(written.get(a!)).toEqual([0]);
  uniforms.offsetOf(words(5), 4);
  expect(() => uniforms.offsetOf(words(6), 4)).toThrow("every slot is in use");
  uniforms.offsetOf(words(6), 5); // submitted meanwhile
  expect(uniforms.size).toBeLessThanOrEqual(4);
});
