import { existsSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { transform } from "esbuild";
import { chromium } from "playwright-core";
import { expect, test } from "vitest";
import { decodeNodeImage } from "../../src/platform/node-images.ts";
import { BUNDLED_MODEL, fixturePath } from "../support/fixtures.ts";
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
  globalThis.decode = async (name) => {
    const bytes = new Uint8Array(await (await fetch("/images/" + name)).arrayBuffer());
    const { width, height, data } = await library.decodeImage(bytes, name);
    return { width, height, data: [...data] };
  };
  globalThis.load = async () => {
    const device = await library.openDevice();
    (await library.loadModel("/model", { device })).release();
    device.close();
  };
</script>`;
const IMAGES = ["colour.png", "colour.jpg", "grey.png", "upright.png", "alpha.png"];

/** What the pages made of their work. */
interface PageResult {
  readonly trained: TenSteps;
  readonly images: readonly { width: number; height: number; data: number[] }[];
  /** What it says of a file that is no image. */
  readonly refusal: string;
  /** How often the weights had crossed the network after training, and after loading them again on a new page. */
  readonly downloads: readonly number[];
}

async function workInBrowser(
  executablePath: string,
  url: string,
  downloads: () => number,
): Promise<PageResult> {
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
    const names = JSON.stringify(IMAGES);
    const images = (await page.evaluate(`Promise.all(${names}.map(decode))`)) as PageResult["images"];
    const refusal = (await page.evaluate('decode("configs.json").catch(String)')) as string;
    const trained = (await page.evaluate("train()")) as TenSteps;
    const first = downloads();
    await open();
    await page.evaluate("load()");
    expect(errors).toEqual([]);
    return { trained, images, refusal, downloads: [first, downloads()] };
  } finally {
    await browser.close();
  }
}

/**
 * Steps of 255 by which Chromium may differ: two JPEG decoders round differently, and a canvas holds colours multiplied
 * by their opacity, which is 0.09 or more here.
 */
const TOLERANCES: Readonly<Record<string, number>> = { "colour.jpg": 2, "alpha.png": 6 };

/** The same pixels as in Node, which its own test compares with Pillow. */
async function expectSameImage(name: string, found: PageResult["images"][number] | undefined): Promise<void> {
  const bytes = new Uint8Array(await readFile(fixturePath(`images/${name}`)));
  const { width, height, data } = await decodeNodeImage(bytes, name);
  expect({ width: found?.width, height: found?.height }).toEqual({ width, height });
  const steps = Math.max(...Array.from(data, (value, i) => Math.abs(value - (found?.data[i] ?? 0))));
  expect(steps, name).toBeLessThanOrEqual(TOLERANCES[name] ?? 0);
}

test(
  "Chromium trains and decodes images as Node does",
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
      "/images/": { folder: fixturePath("images") },
      "/favicon.ico": { content: "" },
    });
    const { size } = await stat(join(BUNDLED_MODEL, "model.safetensors"));
    const downloads = () => Math.round((server.sent.get("/model/model.safetensors") ?? 0) / size);
    const page = await workInBrowser(executable as string, server.url, downloads).finally(server.close);
    console.log(`Chromium trained on ${page.trained.device}`);
    expect(page.trained.losses).toHaveLength(10);
    expect(lossDifference(inNode, page.trained)).toBeLessThan(LOSS_TOLERANCE);
    for (const [i, name] of IMAGES.entries()) await expectSameImage(name, page.images[i]);
    expect(page.refusal).toMatch(/configs\.json: is no image that can be decoded/);
    expect(page.downloads).toEqual([1, 1]); // the second time the weights come from the browser's own storage
  },
  PATIENCE,
);
