import { existsSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { transform } from "esbuild";
import { chromium } from "playwright-core";
import { expect, test } from "vitest";
import { BUNDLED_MODEL } from "../support/fixtures.ts";
import { CHROMIUM_CANDIDATES, CHROMIUM_FLAGS } from "./chromium.ts";
import {
  buildPackage,
  LOSS_TOLERANCE,
  lossDifference,
  PATIENCE,
  temporaryFolder,
  tenStepsInNode,
} from "./environment.ts";
import { serve } from "./serve.ts";
import type { TenSteps } from "./ten-steps.ts";

const PAGE = `<!doctype html><script type="module">
  import * as library from "/dist/web.js";
  import { tenSteps } from "/ten-steps.js";
  globalThis.train = () => tenSteps(library, "/model");
  globalThis.load = async () => {
    const device = await library.openDevice();
    (await library.loadModel("/model", { device })).release();
    device.close();
  };
</script>`;

/** Trains, then loads the model again on a new page; tells how often the weights crossed the network until each. */
async function trainInBrowser(
  executablePath: string,
  url: string,
  downloads: () => number,
): Promise<TenSteps & { downloads: number[] }> {
  const browser = await chromium.launch({ executablePath, args: CHROMIUM_FLAGS });
  try {
    const page = await browser.newPage();
    const errors: string[] = [];
    page.on("pageerror", (error) => errors.push(String(error)));
    const open = async () => {
      await page.goto(url);
      await page.waitForFunction("globalThis.train", undefined, { timeout: 30_000 });
    };
    await open();
    const result = (await page.evaluate("train()")) as TenSteps;
    const first = downloads();
    await open();
    await page.evaluate("load()");
    expect(errors).toEqual([]);
    return { ...result, downloads: [first, downloads()] };
  } finally {
    await browser.close();
  }
}

test(
  "Chromium trains as Node does",
  async ({ skip }) => {
    const executable = CHROMIUM_CANDIDATES.find((path) => path && existsSync(path));
    skip(
      !executable,
      `Chromium is not installed at any of ${CHROMIUM_CANDIDATES.filter(Boolean).join(", ")}`,
    );
    const inNode = await tenStepsInNode();
    const folder = temporaryFolder();
    buildPackage(folder);
    const source = await readFile(join(import.meta.dirname, "ten-steps.ts"), "utf8");
    const { code } = await transform(source, { loader: "ts", format: "esm" });
    const server = await serve({
      "/": { content: PAGE },
      "/ten-steps.js": { content: code },
      "/dist/": { folder },
      "/model/": { folder: BUNDLED_MODEL },
      "/favicon.ico": { content: "" },
    });
    const { size } = await stat(join(BUNDLED_MODEL, "model.safetensors"));
    const downloads = () => Math.round((server.sent.get("/model/model.safetensors") ?? 0) / size);
    const inBrowser = await trainInBrowser(executable as string, server.url, downloads).finally(server.close);
    console.log(`Chromium trained on ${inBrowser.device}`);
    expect(inBrowser.losses).toHaveLength(10);
    expect(lossDifference(inNode, inBrowser)).toBeLessThan(LOSS_TOLERANCE);
    expect(inBrowser.downloads).toEqual([1, 1]); // the second time the weights come from the browser's own storage
  },
  PATIENCE,
);
