import { describe, expect, test } from "vitest";
import { openClock } from "../../kernels-bench/clock.ts";
import { type BenchCase, repeatedValues, sized } from "../../kernels-bench/harness.ts";
import { measurePeak } from "../../kernels-bench/peak.ts";
import { parseReport, serializeReport } from "../../kernels-bench/result.ts";
import { type RunOptions, runBench } from "../../kernels-bench/run.ts";
import { listCases, selectCases } from "../../kernels-bench/select.ts";
import { Device } from "../../src/gpu/device.ts";
import { fromArray } from "../../src/gpu/tensor.ts";
import { scale } from "../../src/kernels/elementwise.ts";
import { LoraError } from "../../src/util/fail.ts";
import { testDevice } from "../support/device.ts";

/** Doubles `count` values; `wrong` breaks the reference. */
function doubled(count: number, wrong = false): BenchCase {
  return sized(wrong ? "wrong" : "double", `P${count}`, count, (device) => {
    const x = repeatedValues(count, 1);
    const X = fromArray(device, x, [count]);
    return {
      run: () => scale(X, 2),
      reference: () => x.map((v) => (wrong ? v : 2 * v)),
      flops: count,
      bytes: 8 * count,
    };
  });
}

const unfit: BenchCase = {
  ...doubled(64),
  name: "unfit",
  op: "unfit",
  unfit: () => "this device is too small",
};
const registry = { doubling: [doubled(1024), doubled(64), unfit], broken: [doubled(64, true)] };
const options: RunOptions = {
  kernels: [],
  sizes: [],
  budgetSeconds: 120,
  package: "0.0.0",
  runtime: "test",
  registry,
};

describe("a run", () => {
  test("gives rates against measured peaks, and says what is wrong or left out", async () => {
    const seen: string[] = [];
    const report = await runBench(await testDevice(), options, { onCase: (name) => seen.push(name) });
    expect(report.results.map(({ size }) => size)).toEqual(["P64", "P1024"]);
    for (const { median, lower, upper, samples, gflops, gbps, share } of report.results) {
      expect(lower).toBeLessThanOrEqual(median);
      expect(median).toBeLessThanOrEqual(upper);
      expect(samples).toBeGreaterThanOrEqual(3);
      for (const value of [gflops, gbps, share]) expect(value).toBeGreaterThan(0);
    }
    expect(report.failed).toEqual([{ name: "wrong P64", reason: expect.stringMatching(/wrong at \[0\]/) }]);
    expect(report.skipped).toEqual([{ name: "unfit", reason: "this device is too small" }]);
    expect(report.peak.gflops).toBeGreaterThan(0);
    expect(report.peak.gbps).toBeGreaterThan(0);
    expect(report.dispatch.encodeMicroseconds).toBeGreaterThan(0);
    expect(seen).toEqual(expect.arrayContaining(["double P64", "wrong P64"]));
    expect(parseReport(serializeReport(report), "x").results).toHaveLength(2);
  });

  test("that is stopped keeps what it has", async () => {
    let cases = 0;
    const events = { onResult: () => cases++, isStopped: () => cases > 0 };
    const report = await runBench(await testDevice(), { ...options, kernels: ["doubling"] }, events);
    expect(report.results).toHaveLength(1);
    expect(report.skipped.map(({ reason }) => reason)).toContain("the run was stopped");
  });

  test("ends where a case needs more memory than there is, which is no error of the kernel", async () => {
    const tooMuch: BenchCase = {
      ...doubled(128),
      setup: () => {
        throw new LoraError("out-of-memory", "made up", "3 GiB more are not to be had");
      },
    };
    const cases = { doubling: [doubled(64), tooMuch, doubled(1024)] };
    const report = await runBench(await testDevice(), { ...options, registry: cases });
    expect(report.results.map(({ size }) => size)).toEqual(["P64"]);
    expect(report.failed).toEqual([]);
    expect(report.skipped).toEqual([
      { name: "double P128", reason: "the device has not enough memory" },
      { name: "double P1024", reason: "the device had run out of memory" },
    ]);
  });

  test("frees what outlives the scope of a case", async () => {
    let released = 0;
    const own: BenchCase = {
      ...doubled(64),
      setup: (device) => ({ ...doubled(64).setup(device), clock: "wall", release: () => released++ }),
    };
    const report = await runBench(await testDevice(), { ...options, registry: { doubling: [own] } });
    expect(report.results[0]?.median).toBeGreaterThan(0);
    expect(released).toBe(1);
  });

  test("of the host's part tells what recording took, and the dispatches of a layer", async () => {
    const host: BenchCase = {
      ...doubled(64),
      setup: (device) => ({
        run: doubled(64).setup(device).run,
        reference: () => ({ at: [], values: [] }),
        clock: "host",
        layers: 2,
      }),
    };
    const device = await testDevice();
    const { results, failed } = await runBench(device, { ...options, registry: { host: [host] } });
    expect(failed).toEqual([]);
    expect(results[0]).toMatchObject({ dispatches: 1, layers: 2 });
    expect(results[0]?.median).toBeGreaterThan(0);
    expect(results[0]).not.toHaveProperty("share");
  });

  test("leaves no memory behind", async () => {
    const device = await testDevice();
    const { used } = device.memory.stats;
    await runBench(device, { ...options, kernels: ["doubling"] });
    expect(device.memory.stats.used).toBe(used);
  });
});

test("a device without timestamps is timed by the wall clock, and the report says so", async () => {
  const { gpu, info } = await testDevice();
  const bare = new Device(gpu, { ...info, timestamps: false, subgroupSize: 0, f16: false });
  const report = await runBench(bare, { ...options, kernels: ["doubling"] });
  expect(report.clock).toBe("wall");
  const notes = report.notes.join("\n");
  expect(notes).toMatch(/no timestamp queries: times are wall clock/);
  expect(notes).toMatch(/no subgroups of a fixed size: the portable kernels run/);
  expect(notes).toMatch(/no shader-f16/);
  expect(report.results).toHaveLength(2);
});

test("a device's peaks fit together: arithmetic is not slower than moving its operands", async () => {
  const device = await testDevice();
  const clock = await openClock(device);
  const peak = await measurePeak(device, clock);
  expect(peak.gflops).toBeGreaterThan(peak.gbps / 8); // a multiply-add is never dearer than moving its operands
});

describe("a selection", () => {
  test("of kernels and sizes", () => {
    const names = (kernels: string[], sizes: string[]) =>
      selectCases(registry, { kernels, sizes }).map(({ name }) => name);
    expect(names(["broken"], [])).toEqual(["wrong P64"]);
    expect(names([], ["p64"])).toEqual(["double P64", "unfit", "wrong P64"]);
  });

  test("that does not exist lists what does", () => {
    const select = (kernels: string[], sizes: string[]) => () => selectCases(registry, { kernels, sizes });
    expect(select(["dubling"], [])).toThrow(
      /no kernel "dubling"; did you mean doubling\?\n.*kernels: doubling, broken/,
    );
    expect(select(["doubling"], ["P65"])).toThrow(/no case has the size "P65"\n.*sizes: P64, P1024/);
  });

  test("is listed", () => {
    expect(listCases(registry, { kernels: ["doubling"], sizes: [] })).toEqual([
      "doubling",
      "  double: P1024, P64",
      "  unfit: P64",
    ]);
  });
});
