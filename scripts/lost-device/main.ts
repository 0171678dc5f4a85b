// node build.mjs --run scripts/lost-device/main.ts [MOMENTS] [--driver] [--recover]: loses the device at so many moments of a run, spread
// evenly from loading to saving, and checks what can be saved then. With --driver the loss comes from below Dawn, as after
// a reset of the GPU: from a driver that answers so (lavapipe and a C compiler are needed); else from device.destroy().
// With --recover the run goes on by itself, and has to come to the bytes of the undisturbed one.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildLosingDriver } from "./driver.ts";
import { type Ending, type Loss, lostRun, moments, STEPS, wholeRun } from "./moments.ts";
import { differences, recoveredRun } from "./recoveries.ts";

const words = process.argv.slice(2);
const count = Number(words.find((word) => /^\d+$/.test(word)) ?? 60);
const folder = mkdtempSync(join(tmpdir(), "webgpu-lora-lost-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

const subject = {
  folder: "test/fixtures/llama-gqa",
  sequences: [9, 14, 6, 12].map((length, row) => {
    const inputIds = Array.from({ length }, (_, at) => (3 + 7 * row + 5 * at) % 40);
    return { inputIds, labels: inputIds };
  }),
};
const loss = words.includes("--driver") ? lossByDriver() : { lose: destroy };
if (words.includes("--recover")) process.exit(await recoverAll());
const whole = await wholeRun(subject);
const calls = whole.phases.length;
console.log(`${calls} calls of WebGPU in a run of ${whole.states.length - 1} steps; ${count} losses`);
const endings: Ending[] = [];
for (const at of moments(whole, count)) {
  const ending = await lostRun(subject, whole, at, loss);
  endings.push(ending);
  const { phase, finished, kept = "nothing", problems } = ending;
  console.log(
    `call ${at}, ${phase}: ${finished} steps finished, kept ${kept}${problems.map((line) => `\n  ${line}`).join("")}`,
  );
}
const learnt = endings.filter(({ finished }) => finished > 0);
const bad = endings.filter(({ problems }) => problems.length > 0);
console.log(
  `${learnt.length} of ${count} after a finished step; steps between that and the one that was kept:`,
);
for (let behind = 0; behind <= STEPS; behind++) {
  const times = learnt.filter(
    ({ finished, kept }) => kept !== undefined && finished - kept === behind,
  ).length;
  if (times > 0) console.log(`  ${behind}: ${times} times`);
}
console.log(`${bad.length} of ${count} with a problem`);
process.exit(bad.length > 0 ? 1 : 0);

async function recoverAll(): Promise<number> {
  const undisturbed = await recoveredRun(subject);
  console.log(`${undisturbed.calls} calls of WebGPU in a run; ${count} losses`);
  let lost = 0;
  let bad = 0;
  for (let i = 0; i < count; i++) {
    const at = Math.floor(((i + 0.5) / count) * undisturbed.calls);
    const got = await recoveredRun(subject, {}, at, loss);
    const problems = differences(undisturbed, got);
    lost += got.losses;
    if (problems.length > 0) bad++;
    for (const line of problems) console.log(`call ${at}: ${line}`);
  }
  console.log(`${count} runs, ${lost} devices lost; ${bad} runs came to other bytes, or told another thing`);
  return bad > 0 ? 1 : 0;
}

function destroy({ gpu }: { gpu: GPUDevice }): void {
  gpu.destroy();
}

function lossByDriver(): Loss {
  const built = buildLosingDriver(folder);
  if (!built) process.exit(1);
  Object.assign(process.env, built.environment);
  return { lose: built.driver.lose, after: built.driver.recover };
}
