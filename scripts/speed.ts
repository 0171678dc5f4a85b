// node build.mjs --run scripts/speed.ts [STEPS] [--profile]: the small training step with all weights trained and with LoRA,
// taking turns; then runs of LoRA that wait for each step, and that record the next one meanwhile. Beside the time of a step
// stands what the process took of the processor, which other programs hardly change: on a software device its shaders are in
// it. With --profile also the time of each kernel in the last step.
import { Profiler } from "../src/gpu/profiler.ts";
import { openNodeDevice } from "../src/platform/node-gpu.ts";
import { smallRun } from "./small-step.ts";

const words = process.argv.slice(2);
const steps = Number(words.find((word) => /^\d+$/.test(word)) ?? 12);
const device = await openNodeDevice();
console.log(`device: ${device.info.name}${device.info.software ? " (software, no GPU)" : ""}`);

interface Run {
  name: string;
  run: ReturnType<typeof smallRun>;
  times: number[];
  /** Of the processor, ms. */
  processor: number[];
}

/** What this process has taken of the processor, ms. */
function processorTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

async function step({ name, run, times, processor }: Run, index: number): Promise<void> {
  const { dispatches, submits } = device.stream;
  const { bound } = device.kernels;
  const before = processorTime();
  const { value } = await run.next();
  if (index > 0) processor.push(processorTime() - before);
  const milliseconds = 1000 * (value?.seconds ?? 0);
  if (index === 0) console.log(`${name}: first step ${milliseconds.toFixed(0)} ms`);
  else times.push(milliseconds);
  if (index !== steps - 1) return;
  const { stream } = device;
  console.log(
    `${name}: ${stream.dispatches - dispatches} dispatches, ${stream.submits - submits} submissions, ${device.kernels.bound - bound} new bind groups`,
  );
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

const ROUNDS = 5;

/** Wall-clock time of a step, and what it takes of the processor, ms, without those of the first two. */
async function wholeRun(goesOn: boolean): Promise<[wall: number, processor: number]> {
  let started: [number, number] = [0, 0];
  const clocks = (): [number, number] => [performance.now(), processorTime()];
  for await (const { step } of smallRun(device, true, { maxSteps: steps + 2, goesOn }))
    if (step === 2) started = clocks();
  const ended = clocks();
  return [(ended[0] - started[0]) / steps, (ended[1] - started[1]) / steps];
}

const runs: Run[] = [false, true].map((adapted) => ({
  name: adapted ? "LoRA" : "full",
  run: smallRun(device, adapted, { maxSteps: steps + 2 }),
  times: [],
  processor: [],
}));
for (let i = 0; i < steps; i++) for (const each of runs) await step(each, i);
const [full = Number.NaN, adapted = Number.NaN] = runs.map(({ times }) => median(times));
const [fullTaken = Number.NaN, adaptedTaken = Number.NaN] = runs.map(({ processor }) => median(processor));
console.log(
  `median of ${steps - 1}: full ${full.toFixed(1)} ms, LoRA ${adapted.toFixed(1)} ms, ${(full / adapted).toFixed(2)} times as fast`,
);
console.log(`of the processor: full ${fullTaken.toFixed(1)} ms, LoRA ${adaptedTaken.toFixed(1)} ms`);
const perStep: Record<string, [wall: number, processor: number][]> = { waits: [], "goes on": [] };
for (let round = 0; round < ROUNDS; round++) {
  for (const [name, times] of Object.entries(perStep)) times.push(await wholeRun(name === "goes on"));
}
for (const [name, times] of Object.entries(perStep))
  console.log(
    `a run that ${name}: ${median(times.map(([wall]) => wall)).toFixed(1)} ms a step, ` +
      `${median(times.map(([, processor]) => processor)).toFixed(1)} ms of the processor, median of ${ROUNDS} runs`,
  );
if (words.includes("--profile")) {
  for (const { name, run } of runs) {
    device.stream.profiler = new Profiler(device.gpu);
    await run.next();
    console.log(`${name}:`);
    for (const { name, dispatches, milliseconds } of await device.stream.profiler.read())
      console.log(`  ${name.padEnd(40)} ${String(dispatches).padStart(4)} ${milliseconds.toFixed(2)} ms`);
    device.stream.profiler = undefined;
  }
}
