import { join } from "node:path";
import { expect, test } from "vitest";
import { BUNDLED_MODEL } from "../support/fixtures.ts";
import { allShaders, featuresOf } from "../support/shaders.ts";
import { denoObstacle, runDeno } from "./deno.ts";
import type { DenoReport } from "./deno-main.ts";
import { buildPackage, expectSameWork, PATIENCE, temporaryFolder, tenStepsInNode } from "./environment.ts";
import { serve } from "./serve.ts";

async function runInDeno(folder: string, url: string): Promise<DenoReport> {
  const permissions = [`--allow-net=${new URL(url).host}`, `--allow-read=${folder}`];
  const script = join(import.meta.dirname, "deno-main.ts");
  const args = [join(folder, "web.js"), `${url}/model`, `${url}/shaders.json`];
  return JSON.parse(await runDeno(join(folder, "deno"), permissions, script, args)) as DenoReport;
}

test(
  "Deno compiles every shader and trains as Node does",
  async ({ skip }) => {
    const reason = denoObstacle();
    skip(reason !== undefined, reason);
    const inNode = await tenStepsInNode();
    const folder = temporaryFolder();
    buildPackage(folder);
    const shaders = (await allShaders()).filter((shader) => featuresOf(shader).length === 0); // Naga knows no subgroups
    const server = await serve({
      "/model/": { folder: BUNDLED_MODEL },
      "/shaders.json": { content: JSON.stringify(shaders) },
    });
    const inDeno = await runInDeno(folder, server.url).finally(server.close);
    console.log(`Deno trained on ${inDeno.device}, compiled ${inDeno.compiled} entry points`);
    expect(inDeno.complaints).toEqual([]);
    expect(inDeno.compiled).toBe(shaders.flatMap(({ entries }) => Object.keys(entries)).length);
    expectSameWork(inDeno, inNode);
  },
  PATIENCE,
);
