// node build.mjs --run scripts/compile-times.ts: how long each pipeline of the small training step takes to compile, with
// all weights and with LoRA. lavapipe compiles at a pipeline's first dispatch, unless Mesa's cache has it already; that is
// off with MESA_SHADER_CACHE_DISABLE=true.
import { openNodeDevice } from "../src/platform/node-gpu.ts";
import { smallRun } from "./small-step.ts";

for (const adapted of [false, true]) {
  const device = await openNodeDevice();
  const { stream } = device;
  const record = stream.dispatch.bind(stream);
  const firsts = new Map<GPUComputePipeline, Parameters<typeof record>>();
  // Nothing is computed in this step, so its loss means nothing.
  stream.dispatch = (...dispatch) => {
    if (!firsts.has(dispatch[0])) firsts.set(dispatch[0], dispatch);
  };
  await smallRun(device, adapted, { maxSteps: 1 }).next();
  const times: { name: string; milliseconds: number }[] = [];
  for (const dispatch of firsts.values()) {
    const started = performance.now();
    record(...dispatch);
    await device.sync();
    times.push({ name: dispatch[0].label, milliseconds: performance.now() - started });
  }
  times.sort((a, b) => b.milliseconds - a.milliseconds);
  const total = times.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  console.log(`${adapted ? "LoRA" : "full"}: ${times.length} pipelines, ${total.toFixed(0)} ms`);
  for (const { name, milliseconds } of times)
    console.log(`  ${name.padEnd(40)} ${milliseconds.toFixed(0)} ms`);
}
