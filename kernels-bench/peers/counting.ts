// Counts what WebGPU is asked for, whoever asks: dispatches and submissions through the objects of this process.

/** Calls so far. */
export interface Calls {
  dispatches: number;
  submits: number;
}

const calls: Calls = { dispatches: 0, submits: 0 };

interface Patchable {
  prototype: Record<string, (...args: unknown[]) => unknown>;
}

function count(type: string, method: string, note: () => void): void {
  const { prototype } = (globalThis as unknown as Record<string, Patchable>)[type] as Patchable;
  const original = prototype[method] as (...args: unknown[]) => unknown;
  prototype[method] = function (...args: unknown[]) {
    note();
    return original.apply(this, args);
  };
}

/** Starts counting, for good. */
export function countCalls(): void {
  count("GPUComputePassEncoder", "dispatchWorkgroups", () => calls.dispatches++);
  count("GPUQueue", "submit", () => calls.submits++);
}

/** The calls that `body` makes. */
export async function callsOf(body: () => Promise<void>): Promise<Calls> {
  const before = { ...calls };
  await body();
  return { dispatches: calls.dispatches - before.dispatches, submits: calls.submits - before.submits };
}
