import { type BenchReport, type BenchResult, FORMAT, VERSION } from "../../kernels-bench/result.ts";

/** A result of one kernel. */
export function resultOf(op: string, median: number, given: Partial<BenchResult> = {}): BenchResult {
  return {
    kernel: "matmul",
    op,
    size: "T128",
    median,
    lower: 0.95 * median,
    upper: 1.05 * median,
    fastest: 0.9 * median,
    slowest: 1.2 * median,
    samples: 11,
    flops: 2e9,
    bytes: 1e8,
    gflops: 2e3 / median,
    gbps: 100 / median,
    share: 0.5,
    ...given,
  };
}

/** A report on a made-up device. */
export function reportOf(results: readonly BenchResult[], given: Partial<BenchReport> = {}): BenchReport {
  return {
    format: FORMAT,
    version: VERSION,
    package: "0.0.0",
    date: "2026-01-02T03:04:05.000Z",
    runtime: "Node",
    device: {
      name: "Made & Up <GPU>",
      id: "made-up-gpu",
      vendor: "nobody",
      architecture: "",
      software: false,
      subgroupSize: 32,
      f16: true,
    },
    clock: "timestamps",
    notes: [],
    budgetSeconds: 60,
    seconds: 12,
    peak: { gflops: 1000, gbps: 100 },
    dispatch: { encodeMicroseconds: 3, dispatchMicroseconds: 9 },
    results,
    skipped: [],
    failed: [],
    ...given,
  };
}
