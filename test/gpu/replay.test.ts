// A pass that repeats is launched as it was recorded, and only where that gives what running it again would.
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { Replay } from "../../src/gpu/replay.ts";
import { empty, fromArray, scoped, Tensor } from "../../src/gpu/tensor.ts";
import type { Texels } from "../../src/gpu/texels.ts";
import type { WgslModule } from "../../src/gpu/wgsl.ts";
import { dropout } from "../../src/kernels/dropout.ts";
import { add, addInto, scale } from "../../src/kernels/elementwise.ts";
import { openNodeDevice } from "../../src/platform/node-gpu.ts";
import { testDevice } from "../support/device.ts";

const SIZE = [64];
const KEY = ["key"];

let device: Device;
let replay: Replay;
/** How often the pass ran on the host. */
let runs = 0;
/** What is there before the pass. */
let weight: Tensor;
let input: Tensor;

const values = (value: number) => new Float32Array(64).fill(value);
const persistent = (value: number) => device.memory.persistent(() => fromArray(device, values(value), SIZE));
const release = ({ storage }: Tensor) => device.memory.release(storage);

beforeEach(async () => {
  device = await testDevice();
  replay = new Replay(device);
  [weight, input] = [persistent(10), persistent(1)];
  runs = 0;
});
afterEach(() => {
  for (const tensor of [weight, input]) if (tensor.storage.holds > 0) release(tensor);
});

/** 2 x + weight */
function pass(x = input, w = weight): Tensor {
  runs++;
  return add(add(x, x), w);
}

/** The first value of the result. */
async function once(run = () => replay.run(KEY, [input], () => pass())): Promise<number> {
  const result = scoped(device, run);
  const [first = Number.NaN, ...others] = await result.read();
  expect(others.every((value) => value === first)).toBe(true);
  release(result);
  return first;
}

/** Another launch takes its parameters from a slot that was another's. */
function evictParameters(): void {
  const { kernels, stream } = device;
  const { forgotten } = kernels;
  for (let i = 0; kernels.forgotten === forgotten; i++) {
    if (i > 5000) throw new Error("no parameters were replaced");
    const { submits } = stream;
    scoped(device, () => {
      scale(input, 1 + i / 8192);
      return undefined;
    });
    if (kernels.forgotten !== forgotten) expect(stream.submits).toBeGreaterThan(submits);
  }
}

test("a pass runs once; from then on its launches see new contents of the same buffers", async () => {
  expect(await once()).toBe(12);
  const { dispatches } = device.stream;
  input.write(values(2));
  weight.write(values(20));
  expect(await once()).toBe(24);
  expect(runs).toBe(1);
  expect(device.stream.dispatches).toBeGreaterThan(dispatches);
});

test("its memory is taken, counted and given back as before", async () => {
  await once();
  const { memory } = device;
  const { used } = memory.stats;
  memory.resetPeak();
  expect(await once()).toBe(12);
  expect(memory.stats.used).toBe(used);
  expect(memory.stats.peak).toBeGreaterThanOrEqual(used + 2 * 256); // x + x, and the result
  expect(runs).toBe(1);
});

test("it counts as much memory at a time as running did, though its buffers are of several owners by turns", async () => {
  const { memory } = device;
  const run = () =>
    replay.run(KEY, [input], () => {
      for (const size of [1024, 4096, 2048]) {
        scoped(device, () => {
          scale(empty(device, [size]), 2);
          return undefined;
        });
      }
      return pass();
    });
  const peaks: number[] = [];
  for (let i = 0; i < 2; i++) {
    memory.resetPeak();
    await once(run);
    peaks.push(memory.stats.peak - memory.stats.used);
  }
  expect(peaks).toEqual([2 * 4 * 4096, 2 * 4 * 4096]);
  expect(runs).toBe(1);
});

test("a pass whose tensors give their buffers away and get others", async () => {
  const { memory } = device;
  const run = () =>
    replay.run(KEY, [input], () => {
      const double = scale(pass(), 2);
      memory.vacate(double.storage);
      const other = scale(input, 100); // lies where that lay
      memory.refill(double.storage, memory.persistent(() => scale(other, 0.5)).storage);
      return add(double, weight);
    });
  const { used } = memory.stats;
  expect([await once(run), await once(run)]).toEqual([60, 60]);
  input.write(values(2));
  expect(await once(run)).toBe(110);
  expect(runs).toBe(1);
  expect(memory.stats.used).toBe(used);
});

test("results that are held while the next one is computed", async () => {
  const both = () => {
    const results = [0, 1].map(() => scoped(device, () => replay.run(KEY, [input], () => pass())));
    expect(new Set(results.map(({ storage }) => storage.id)).size).toBe(2);
    for (const result of results) release(result);
  };
  for (let i = 0; i < 3; i++) both();
  expect(runs).toBe(2);
  expect(await once()).toBe(12);
});

test("its buffers stay the pool's as long as it is replayed", async () => {
  for (let i = 0; i < 40; i++) {
    device.memory.beginStep();
    if (i === 20) runs = 0; // what lay idle before is gone by now
    expect(await once()).toBe(12);
  }
  expect(runs).toBe(0);
});

describe("it runs again where a replay would be stale:", () => {
  test("another key", async () => {
    const by = (factor: number) => () => replay.run([factor], [input], () => scale(pass(), factor));
    expect(await once(by(1))).toBe(12);
    expect(await once(by(3))).toBe(36);
    expect(await once(by(1))).toBe(12);
    expect(runs).toBe(2);
  });

  test("other choices of kernels", async () => {
    await once();
    device.choices.set("question", "answer");
    await once();
    device.choices.clear();
    expect(runs).toBe(2);
  });

  test("an input in another buffer; a few take turns", async () => {
    const other = persistent(5);
    const of = (x: Tensor) => () => replay.run(KEY, [x], () => pass(x));
    expect([await once(of(input)), await once(of(other)), await once(of(input))]).toEqual([12, 20, 12]);
    expect(runs).toBe(2);
    release(other);
  });

  test("a buffer that was there before is somebody else's by now", async () => {
    const [{ storage }, other] = [weight, persistent(20)];
    await once();
    release(weight);
    weight = other;
    const held: Tensor[] = [];
    while (storage.holds === 0) held.push(persistent(99)); // until the pool hands it out again
    for (const tensor of held.slice(0, -1)) release(tensor); // what the pass took is free
    expect(await once()).toBe(22);
    expect(runs).toBe(2);
    release(held.at(-1) as Tensor);
  });

  test("a buffer that was there before lies in the pool", async () => {
    const other = persistent(20);
    await once();
    release(weight);
    weight = other;
    expect(await once()).toBe(22);
    expect(runs).toBe(2);
  });

  test("a buffer that it took is in use", async () => {
    await once();
    const held = Array.from({ length: 8 }, () => persistent(7));
    expect(await once()).toBe(12);
    expect(runs).toBe(2);
    for (const tensor of held) {
      expect(await tensor.read()).toEqual(values(7));
      release(tensor);
    }
  });

  test("a buffer that it took went back to the driver", async () => {
    await once();
    device.memory.trim();
    expect(await once()).toBe(12);
    expect(runs).toBe(2);
    await device.sync();
  });

  test("its parameters were replaced, and what is recorded is submitted before", async () => {
    const run = () => replay.run(KEY, [input], () => scale(pass(), 3));
    expect(await once(run)).toBe(36);
    evictParameters();
    expect(await once(run)).toBe(36);
    expect(runs).toBe(2);
  });

  test("what it writes has a copy elsewhere by now, which has to be forgotten", async () => {
    const sum = persistent(0);
    const run = () => replay.run(KEY, [input], () => add(addInto(sum, input), weight));
    expect([await once(run), await once(run)]).toEqual([11, 12]);
    let forgotten = 0;
    sum.storage.derived = { forget: () => forgotten++ };
    expect(await once(run)).toBe(13);
    expect(forgotten).toBe(1);
    release(sum);
  });
});

describe("a pass is not recorded that", () => {
  test.each<[string, () => Tensor]>([
    ["uploads something", () => add(pass(), fromArray(device, values(runs), SIZE))],
    ["has parameters that change", () => add(pass(), dropout(input, { p: 0.5, seed: runs }), 0)],
    [
      "keeps memory",
      () =>
        add(
          pass(),
          device.memory.persistent(() => scale(input, 2)),
        ),
    ],
    ["gives what it did not take", () => addInto(weight, pass())],
    [
      "copies",
      () => {
        const copy = empty(device, SIZE);
        copy.copyFrom(pass());
        return add(copy, weight); // a launch behind it would not bring the copy back
      },
    ],
  ])("%s", async (_, whole) => {
    const { used } = device.memory.stats;
    for (let i = 0; i < 3; i++) {
      const result = scoped(device, () => replay.run(KEY, [input], whole));
      await device.sync();
      if (result.storage !== weight.storage) release(result);
    }
    expect(runs).toBe(3);
    expect(device.memory.stats.used).toBeGreaterThanOrEqual(used);
  });

  test("uses memory that is none of the pool's", async () => {
    const buffer = device.gpu.createBuffer({ size: 256, usage: weight.storage.buffer.usage });
    const storage = { id: 2 ** 30, buffer, size: 256, holds: 1, lastStep: 0, lastUse: -1, free() {} };
    const foreign = new Tensor(device, storage, SIZE);
    const run = () => replay.run(KEY, [input], () => pass(input, foreign));
    expect([await once(run), await once(run)]).toEqual([2, 2]);
    expect(runs).toBe(2);
    device.kernels.forgetBindings(new Set([storage.id]));
    buffer.destroy();
  });

  test("makes a texture: it is once it is there", async () => {
    const module = textureWriter();
    const make = (t: Texels) => device.run(module, "forward", { bind: {}, textures: { t }, grid: [1] });
    const whole = () => {
      device.textures.of([weight.storage], "all", 1, make);
      return pass();
    };
    const counts: number[] = [];
    for (let i = 0; i < 4; i++) {
      await once(() => replay.run(KEY, [input], whole));
      counts.push(runs);
    }
    expect(counts).toEqual([1, 2, 2, 2]);
  });
});

function textureWriter(): WgslModule {
  const code =
    "@group(0) @binding(0) var t: texture_storage_2d<rgba32uint, write>;\n" +
    "@compute @workgroup_size(1) fn forward() { textureStore(t, vec2u(), vec4u(1)); }";
  return {
    ...{ name: "texels", code, params: { size: 0, fields: [] } },
    entries: { forward: [{ name: "t", binding: 0, kind: "texels_written" }] },
  };
}

test("what is written to a texture for the next launch is written again, until the texture goes", async () => {
  const module = textureWriter();
  const whole = () => {
    const t = device.textures.scratch(0, 1) as Texels;
    device.run(module, "forward", { bind: {}, textures: { t }, grid: [1] });
    return pass();
  };
  const counts: number[] = [];
  for (let i = 0; i < 4; i++) {
    if (i === 3) device.textures.clear();
    await once(() => replay.run(KEY, [input], whole));
    counts.push(runs);
  }
  device.textures.clear();
  expect(counts).toEqual([1, 1, 1, 2]);
});

test("a pass that fails leaves nothing behind, and the next one is recorded", async () => {
  const failing = () => {
    pass();
    throw new Error("no");
  };
  const { used } = device.memory.stats;
  expect(() => replay.run(KEY, [input], failing)).toThrow("no");
  expect(device.memory.stats.used).toBe(used);
  expect([await once(), await once()]).toEqual([12, 12]);
  expect(runs).toBe(2);
});

test("a pass within a pass is a part of it", async () => {
  const inner = new Replay(device);
  const whole = () =>
    scale(
      inner.run(KEY, [input], () => pass()),
      2,
    );
  const run = () => replay.run(KEY, [input], whole);
  expect([await once(run), await once(run)]).toEqual([24, 24]);
  expect(runs).toBe(1);
});

test("a device that was closed says so", async () => {
  const other = await openNodeDevice();
  const x = fromArray(other, values(1), SIZE);
  const own = new Replay(other);
  const run = () => own.run(KEY, [x], () => add(x, x));
  other.memory.release(run().storage);
  other.close();
  expect(run).toThrow("the device was closed");
});
