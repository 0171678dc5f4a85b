import { join } from "node:path";
import { expect, test } from "vitest";
import { BUNDLED_MODEL } from "../support/fixtures.ts";
import { allShaders, featuresOf } from "../support/shaders.ts";
import { denoObstacle, runDeno } from "./deno.ts";
import type { DenoReport } from "./deno-main.ts";
import {
  buildPackage,
  expectSmoke,
  PATIENCE,
  REFERENCE_MODEL,
  smokeInNode,
  smokeInput,
  temporaryFolder,
} from "./environment.ts";
import { serve } from "./serve.ts";

async function runInDeno(folder: string, url: string): Promise<DenoReport> {
  const permissions = [`--allow-net=${new URL(url).host}`, `--allow-read=${folder}`];
  const input = smokeInput({ fixture: `${url}/fixture`, model: `${url}/model` });
  const script = join(import.meta.dirname, "deno-main.ts");
  const args = [join(folder, "web.js"), JSON.stringify(input), `${url}/shaders.json`];
  return JSON.parse(await runDeno(join(folder, "deno"), permissions, script, args)) as DenoReport;
}

test(
  "Deno compiles every shader, and the smoke suite holds",
  async ({ skip }) => {
    const reason = denoObstacle();
    skip(reason !== undefined, reason);
    const inNode = await smokeInNode();
    const folder = temporaryFolder();
    await buildPackage(folder);
    const shaders = (await allShaders()).filter((shader) => featuresOf(shader).length === 0); // Naga knows no subgroups
    const server = await serve({
      "/model/": { folder: BUNDLED_MODEL },
      "/fixture/": { folder: REFERENCE_MODEL },
      "/fixture/adapter/": { folder: join(REFERENCE_MODEL, "adapter") },
      "/shaders.json": { content: JSON.stringify(shaders) },
    });
    const inDeno = await runInDeno(folder, server.url).finally(server.close);
    console.log(`Deno trained on ${inDeno.device}, compiled ${inDeno.compiled} entry points`);
    expect(inDeno.complaints).toEqual([]);
    expect(inDeno.compiled).toBe(shaders.flatMap(({ entries }) => Object.keys(entries)).length);
    await expectSmoke(inDeno, inNode);
  },
  PATIENCE,
);
