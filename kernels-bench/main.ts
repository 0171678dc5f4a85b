// npm run bench [NAME…]: validates and times every kernel whose case name contains one of the words.
import { openNodeDevice } from "../src/platform/node-gpu.ts";
import { type BenchCase, type BenchResult, measure } from "./harness.ts";
import { cases as matmul } from "./matmul.bench.ts";
import { cases as rmsNorm } from "./rms-norm.bench.ts";

const all: BenchCase[] = [...matmul, ...rmsNorm];

function line({ name, median, fastest, slowest, gflops, gbps }: BenchResult): string {
  const rate = gflops ? `${gflops.toFixed(1)} GFLOP/s` : gbps ? `${gbps.toFixed(2)} GB/s` : "";
  const time = `${median.toFixed(3)} ms (${fastest.toFixed(3)} … ${slowest.toFixed(3)})`;
  return `${name.padEnd(44)} ${time.padEnd(32)} ${rate}`;
}

const words = process.argv.slice(2);
const device = await openNodeDevice();
console.log(`device: ${device.info.name}${device.info.software ? " (software, no GPU)" : ""}`);
for (const benchCase of all) {
  if (words.length > 0 && !words.some((word) => benchCase.name.includes(word))) continue;
  console.log(line(await measure(benchCase, device)));
}
process.exit(0); // Dawn keeps Node alive
