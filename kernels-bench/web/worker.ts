// The benchmark in a worker, so that the page stays quick: references in plain loops take seconds.
import { openWebDevice } from "../../src/platform/web-gpu.ts";
import { messageOf } from "../../src/util/fail.ts";
import { type BenchReport, serializeReport } from "../result.ts";
import { describeResult, type RunOptions, runBench } from "../run.ts";

/** What the page says: what to measure, or that it is enough. */
export type BenchRequest = Omit<RunOptions, "registry"> | "stop";

/** What the worker says. */
export type BenchNews =
  | { readonly line: string; readonly done?: number }
  | { readonly report: string }
  | { readonly error: string };

let isStopped = false;
const say = (news: BenchNews) => globalThis.postMessage(news);

async function measure(options: RunOptions): Promise<BenchReport> {
  const device = await openWebDevice();
  try {
    return await runBench(device, options, {
      onCase: (name, done, total) =>
        say({ line: `${done} of ${total}: ${name}`, done: total === 0 ? 0 : done / total }),
      onResult: (result) => say({ line: describeResult(result) }),
      isStopped: () => isStopped,
    });
  } finally {
    device.close();
  }
}

globalThis.onmessage = ({ data }: MessageEvent<BenchRequest>) => {
  if (data === "stop") isStopped = true;
  else
    measure(data).then(
      (report) => say({ report: serializeReport(report) }),
      (error) => say({ error: messageOf(error) }),
    );
};
