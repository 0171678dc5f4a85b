// Runs in Deno: deno-main.ts LIBRARY INPUT SHADERS. Prints one line of JSON.
import type { WgslModule } from "../../src/gpu/wgsl.ts";
import { type SmokeReport, smoke } from "./smoke.ts";

/** What Deno's side reports. */
export interface DenoReport extends SmokeReport {
  /** What Naga says against the shaders, by file and entry point. */
  complaints: string[];
  compiled: number;
}

declare const Deno: { args: string[] };
const [library, input, shaders] = Deno.args as [string, string, string];

async function compileAll(modules: WgslModule[]): Promise<Pick<DenoReport, "complaints" | "compiled">> {
  const adapter = await navigator.gpu.requestAdapter();
  const device = await adapter?.requestDevice();
  if (!device) throw new Error("no adapter");
  const complaints: string[] = [];
  let compiled = 0;
  for (const { name, code, entries } of modules) {
    for (const entryPoint of Object.keys(entries)) {
      device.pushErrorScope("validation");
      const module = device.createShaderModule({ code });
      device.createComputePipeline({ layout: "auto", compute: { module, entryPoint } });
      const error = await device.popErrorScope();
      if (error) complaints.push(`${name}.${entryPoint}: ${error.message}`);
      else compiled++;
    }
  }
  device.destroy();
  return { complaints, compiled };
}

const compilation = await compileAll(await (await fetch(shaders)).json());
const report = await smoke(await import(library), JSON.parse(input));
console.log(JSON.stringify({ ...compilation, ...report }));
