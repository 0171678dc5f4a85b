import { existsSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { transform } from "esbuild";
import { chromium } from "playwright-core";
import { expect, test } from "vitest";
import type { InspectedRows } from "../../src/data/inspect/inspect-rows.ts";
import { decodeNodeImage } from "../../src/platform/node-images.ts";
import { BUNDLED_MODEL, fixturePath, readJsonFile } from "../support/fixtures.ts";
import { CHROMIUM_CANDIDATES, CHROMIUM_FLAGS } from "./chromium.ts";
import {
  buildPackage,
  expectSmoke,
  PATIENCE,
  REFERENCE_MODEL,
  smokeInNode,
  smokeInput,
  temporaryFolder,
} from "./environment.ts";
import type { LostInPage } from "./lost-in-page.ts";
import { serve } from "./serve.ts";
import type { SmokeReport } from "./smoke.ts";

const PAGE = `<!doctype html><script type="module">
  import * as library from "/dist/web.js";
  import { smoke } from "/smoke.js";
  import { lostInPage } from "/lost-in-page.js";
  globalThis.lose = (way) => lostInPage(library, "/model", way === "destroy" ? ({ gpu }) => gpu.destroy() : crashGpu);
  globalThis.runSmoke = (input) => smoke(library, input);
  globalThis.decode = async (name) => {
    const bytes = new Uint8Array(await (await fetch("/images/" + name)).arrayBuffer());
    const { width, height, data } = await library.decodeImage(bytes, name);
    return { width, height, data: [...data] };
  };
  globalThis.decodeOrRefuse = (name) => decode("formats/" + name).catch(String);
  globalThis.inspect = async (text) => {
    const packed = new Blob([text]).stream().pipeThrough(new CompressionStream("gzip"));
    const file = library.blobFile("rows.jsonl.gz", await new Response(packed).blob());
    const model = await library.loadModelText("/model");
    return [await library.readRows(file), await library.streamRows(file)].map((rows) => library.inspectData(model, rows));
  };
  globalThis.load = async () => {
    const device = await library.openDevice();
    (await library.loadModel("/model", { device })).release();
    device.close();
  };
</script>`;
const IMAGES = ["colour.png", "colour.jpg", "grey.png", "upright.png", "alpha.png"];
/** Pictures in every kind of file, and their pixels, by Pillow (test/fixtures/make_image_formats.py). */
const FORMATS = readJsonFile<Record<string, { width: number; height: number; rgb: string }>>(
  fixturePath("images/formats"),
  "golden.json",
);
/** Those that browsers would show otherwise: TIFF, 16 bits, CMYK, and what is turned in other files than JPEG. */
const REFUSED = /\.tif$|16\.png$|cmyk|ycck|^turned\.(?:png|webp)$/;

/** What the pages made of their work. */
interface PageResult {
  readonly smoke: SmokeReport;
  /** What it finds in rows of a packed Blob: in memory, and read as they are needed. */
  readonly inspected: readonly InspectedRows[];
  readonly images: readonly { width: number; height: number; data: number[] }[];
  /** The pixels of {@link FORMATS}, or why they are refused. */
  readonly formats: readonly (PageResult["images"][number] | string)[];
  /** What it says of a file that is no image. */
  readonly refusal: string;
  /** How trainings went on whose device was destroyed, or whose browser lost all devices. */
  readonly lost: Readonly<Record<"destroy" | "crash", LostInPage>>;
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
      await page.waitForFunction("globalThis.runSmoke", undefined, { timeout: 30_000 });
    };
    await open();
    const names = JSON.stringify(IMAGES);
    const images = (await page.evaluate(`Promise.all(${names}.map(decode))`)) as PageResult["images"];
    const formats = JSON.stringify(Object.keys(FORMATS));
    const decoded = await page.evaluate(`Promise.all(${formats}.map(decodeOrRefuse))`);
    const refusal = (await page.evaluate('decode("configs.json").catch(String)')) as string;
    const text = JSON.stringify('{"text":"a cat"}\n{"text":"a cat"}\n');
    const inspected = await page.evaluate(`inspect(${text}).then((all) => Promise.all(all))`);
    const input = JSON.stringify(smokeInput({ fixture: "/fixture", model: "/model" }));
    const smoke = (await page.evaluate(`runSmoke(${input})`)) as SmokeReport;
    const first = downloads();
    const session = await browser.newBrowserCDPSession();
    await page.exposeFunction("crashGpu", () => session.send("Browser.crashGpuProcess"));
    const lose = async (way: string) => (await page.evaluate(`lose("${way}")`)) as LostInPage;
    const lost = { destroy: await lose("destroy"), crash: await lose("crash") };
    await open();
    await page.evaluate("load()");
    expect(errors).toEqual([]);
    return {
      smoke,
      inspected: inspected as PageResult["inspected"],
      images,
      formats: decoded as PageResult["formats"],
      refusal,
      lost,
      downloads: [first, downloads()],
    };
  } finally {
    await browser.close();
  }
}

/** Steps of 255 by which pixels may differ: decoders of lossy pictures may round differently. */
const toleranceOf = (name: string) => (/\.jpg$|lossy/.test(name) ? 2 : 0);

/** The same pixels as in Node, which its own test compares with Pillow. */
async function expectSameImage(name: string, found: PageResult["images"][number] | undefined): Promise<void> {
  const bytes = new Uint8Array(await readFile(fixturePath(`images/${name}`)));
  const { width, height, data } = await decodeNodeImage(bytes, name);
  expect({ width: found?.width, height: found?.height }).toEqual({ width, height });
  const steps = Math.max(...Array.from(data, (value, i) => Math.abs(value - (found?.data[i] ?? 0))));
  expect(steps, name).toBeLessThanOrEqual(toleranceOf(name));
}

/** The pixels that Pillow sees, or a refusal. */
function expectFormat(name: string, found: PageResult["formats"][number] | undefined): void {
  if (REFUSED.test(name)) {
    expect(found, name).toMatch(/which browsers do not show as it is\n {2}→ python -c/);
    return;
  }
  const { width, height, rgb } = FORMATS[name]!;
  expect(found, name).toMatchObject({ width, height });
  const data = typeof found === "object" ? found.data : [];
  const steps = Math.max(...Buffer.from(rgb, "base64").map((value, i) => Math.abs(value - (data[i] ?? 999))));
  expect(steps, name).toBeLessThanOrEqual(toleranceOf(name));
}

test(
  "In Chromium the smoke suite holds, lost devices are survived, and images are decoded as in Node",
  async ({ skip }) => {
    const executable = CHROMIUM_CANDIDATES.find((path) => path && existsSync(path));
    skip(
      !executable,
      `Chromium is not installed at any of ${CHROMIUM_CANDIDATES.filter(Boolean).join(", ")}`,
    );
    const inNode = await smokeInNode();
    const folder = temporaryFolder();
    await buildPackage(folder);
    const script = async (name: string) => {
      const source = await readFile(join(import.meta.dirname, name), "utf8");
      return (await transform(source, { loader: "ts", format: "esm" })).code;
    };
    const server = await serve({
      "/": { content: PAGE },
      "/smoke.js": { content: await script("smoke.ts") },
      "/lost-in-page.js": { content: await script("lost-in-page.ts") },
      "/dist/": { folder },
      "/model/": { folder: BUNDLED_MODEL },
      "/fixture/": { folder: REFERENCE_MODEL },
      "/fixture/adapter/": { folder: join(REFERENCE_MODEL, "adapter") },
      "/images/formats/": { folder: fixturePath("images/formats") },
      "/images/": { folder: fixturePath("images") },
      "/favicon.ico": { content: "" },
    });
    const { size } = await stat(join(BUNDLED_MODEL, "model.safetensors"));
    const downloads = () => Math.round((server.sent.get("/model/model.safetensors") ?? 0) / size);
    const page = await workInBrowser(executable as string, server.url, downloads).finally(server.close);
    console.log(`Chromium trained on ${page.smoke.device}`);
    await expectSmoke(page.smoke, inNode);
    for (const { report } of page.inspected) {
      expect(report).toMatchObject({
        rows: 2,
        findings: [{ kind: "duplicate", examples: ["rows.jsonl.gz:2"] }],
      });
    }
    for (const [i, name] of IMAGES.entries()) await expectSameImage(name, page.images[i]);
    for (const [i, name] of Object.keys(FORMATS).entries()) expectFormat(name, page.formats[i]);
    expect(page.refusal).toMatch(/configs\.json: is no image that can be decoded/);
    for (const { kind, message, finished, kept, same, steps, end } of Object.values(page.lost)) {
      expect(kind).toBe("device-lost");
      expect(message).toMatch(/was lost[\s\S]*what was learnt until step \d can be saved/);
      expect(finished).toBe(4);
      expect(kept).toBeGreaterThanOrEqual(1);
      expect(same).toBe(kept);
      expect(steps).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
      expect(end).toBe(8);
    }
    expect(page.downloads).toEqual([1, 1]); // the second time the weights come from the browser's own storage
  },
  PATIENCE,
);
