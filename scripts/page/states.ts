// Takes pictures of the page in each of its states, light and dark, wide and narrow, to be looked at.
//   node build.mjs --run scripts/page/states.ts [OUT] [STATE …]     into OUT (out/page-states); every state unless some are named
//   CHROME_PATH names a browser where it is not /usr/bin/chromium
import { execFileSync } from "node:child_process";
import { mkdir, readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { staticFiles } from "../../src/cli/static-files.ts";
import { unzipped } from "../../test/web/unzipped.ts";
import { FLAGS, until } from "./driving.ts";

const BUILT = ".cache/page-states";
const [OUT = "out/page-states", ...WANTED] = process.argv.slice(2);
const WIDTHS = { wide: 900, narrow: 360 };

/** A page that is in the state of this name; `shoot` takes the pictures, of one part or of all of it. */
type State = (page: Page, shoot: Shoot, context: BrowserContext) => Promise<void>;
type Shoot = (suffix: string, part?: string) => Promise<void>;

const ready = (page: Page) => until(page, "memory-verdict", /\S/);
const dataFile = (page: Page, name: string, text: string) =>
  page.setInputFiles("#data-file", { name, mimeType: "text/plain", buffer: Buffer.from(text) });

const TRAIN = "section:has(#train-title)";
const DATA = "#data-section";

const STATES: Readonly<Record<string, State>> = {
  async start(page, shoot) {
    await page.route("**/model/model.safetensors", () => {}); // which never comes
    await page.reload();
    await until(page, "model-status", /opening/);
    await shoot("", "#model-section");
    await page.unroute("**/model/model.safetensors");
  },

  async ready(page, shoot) {
    await ready(page);
    await shoot("");
    await page.click("#other-model summary");
    await page.click("#fields summary");
    await shoot("-model", "#model-section");
    await shoot("-settings", TRAIN);
    await page.fill("#memory", "0.02");
    await page.fill("#batch", "64");
    await page.fill("#rank", "64");
    await page.press("#rank", "Tab");
    await until(page, "memory-verdict", /does not fit/);
    await shoot("-no-fit", TRAIN);
    await page.fill("#hub-id", "nonsense");
    await page.click("#hub-look");
    await until(page, "hub-error", /\S/);
    await shoot("-hub", "#model-section");
  },

  async data(page, shoot) {
    await ready(page);
    await page.locator("#rows-seen button").first().click();
    await shoot("-edit", DATA);
    await page.click("label[for=view-text]");
    await shoot("-text", DATA);
    await page.click("label[for=view-seen]");
    await dataFile(page, "found.csv", `prompt,completion\na, b\na,\na, b\n${"long ".repeat(1500)}, b\n`);
    await until(page, "findings", /same/);
    await shoot("-findings", DATA);
    await dataFile(
      page,
      "columns.csv",
      "id,riddle,solution\n1,What is up?, The sky.\n2,What is down?, The sea.\n",
    );
    await until(page, "column-read", /riddle/);
    await shoot("-columns", DATA);
    await dataFile(page, "bad.jsonl", '{"text":"a"}\n{"b":1}\n');
    await until(page, "data-error", /bad\.jsonl:2/);
    await shoot("-bad", DATA);
    await dataFile(
      page,
      "chats.jsonl",
      '{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Hello"}]}\n',
    );
    await until(page, "data-error", /chats/);
    await shoot("-chats", DATA);
  },

  async run(page, shoot) {
    await ready(page);
    await page.fill("#steps", "60");
    await page.click("#train");
    await shoot("-begun", TRAIN);
    await until(page, "figure-step", /^(2\d|3\d) /);
    await page.click("#pause");
    await until(page, "train-status", /Paused/);
    await shoot("-paused", TRAIN);
    await page.click("#pause");
    await until(page, "train-status", /Learning/);
    await shoot("-learning", TRAIN);
    await until(page, "train-status", /Done/);
    await shoot("-done", TRAIN);
    await page.click("#ask");
    await until(page, "compare-status", /Both/);
    await page.click("#measure");
    await until(page, "map-status", /before, and is/);
    await shoot("-compared", "section:has(#compare-title)");
    const [zip] = await Promise.all([page.waitForEvent("download"), page.click("#download")]);
    await until(page, "take-status", /adapter_model/);
    await shoot("-taken", "section:has(#take-title)");
    await shoot("-whole");
    const files = unzipped(await readFile(await zip.path()));
    const given = ["adapter_config.json", "adapter_model.safetensors"].map((name) => ({
      name,
      mimeType: "application/octet-stream",
      buffer: files.get(name) as Buffer,
    }));
    await page.setInputFiles("#adapter-files", given.slice(0, 1));
    await until(page, "adapter-error", /\S/);
    await shoot("-half-adapter", "#model-section");
    await page.setInputFiles("#adapter-files", given);
    await until(page, "adapter-status", /It begins with your adapter/);
    await shoot("-adapter", "#model-section");
    await shoot("-adapter-settings", TRAIN);
  },

  async lost(page, shoot) {
    await ready(page);
    await page.fill("#steps", "30");
    await page.click("#train");
    await until(page, "figure-step", /^[2-9] /);
    await page.workers()[0]?.evaluate(LOSE_DEVICE);
    await until(page, "train-note", /lost/);
    await shoot("", TRAIN);
  },

  async full(page, shoot, context) {
    await ready(page);
    const session = await context.newCDPSession(page);
    const { origin } = new URL(page.url());
    await session.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 100 });
    await page.fill("#steps", "12");
    await page.click("#train");
    await until(page, "train-note", /not kept/);
    await until(page, "train-status", /Done/);
    await shoot("", TRAIN);
  },

  async tab(page, shoot, context) {
    await ready(page);
    const other = await context.newPage();
    await other.goto(page.url());
    await until(other, "obstacle-title", /another tab/);
    await shootOf(other, "tab")("");
    await other.close();
    await shoot("-first", "#model-section");
  },

  async noWebGpu(page, shoot) {
    await page.addInitScript("Object.defineProperty(navigator, 'gpu', { value: undefined })");
    await page.reload();
    await until(page, "obstacle-title", /no WebGPU/);
    await shoot("");
  },

  async bench(page, shoot) {
    await page.goto(new URL("bench/index.html", page.url()).href);
    await shoot("-before");
    await page.selectOption("#kernel", "rope");
    await page.fill("#budget", "5");
    await page.click("#run");
    await page.waitForSelector("#report details", { timeout: 300_000 });
    await shoot("-after");
  },
};

/** The device is lost with the next thing that it is asked. */
const LOSE_DEVICE = `{ const { prototype } = GPUDevice, { createCommandEncoder } = prototype;
  prototype.createCommandEncoder = function (...given) {
    prototype.createCommandEncoder = createCommandEncoder;
    const encoder = createCommandEncoder.apply(this, given);
    this.destroy();
    return encoder;
  }; undefined; }`;

/** Takes pictures of a page that is in a state: each width, in each colour. */
const shootOf =
  (page: Page, state: string): Shoot =>
  async (suffix, part) => {
    for (const [width, pixels] of Object.entries(WIDTHS)) {
      await page.setViewportSize({ width: pixels, height: 800 });
      for (const colorScheme of ["light", "dark"] as const) {
        await page.emulateMedia({ colorScheme });
        await page.waitForTimeout(200); // the chart is drawn again
        const path = join(OUT, `${state}${suffix}-${width}-${colorScheme}.png`);
        if (part) await page.locator(part).screenshot({ path });
        else await page.screenshot({ path, fullPage: true });
      }
    }
    await page.setViewportSize({ width: WIDTHS.wide, height: 800 });
    console.log(`${state}${suffix}`);
  };

async function enter(browser: Browser, url: string, name: string, state: State): Promise<void> {
  const context = await browser.newContext({ viewport: { width: WIDTHS.wide, height: 800 } });
  const page = await context.newPage();
  try {
    await page.goto(url);
    await state(page, shootOf(page, name), context);
  } finally {
    await context.close();
  }
}

await mkdir(OUT, { recursive: true });
execFileSync(process.execPath, ["build.mjs", "--page", BUILT]);
const server = createServer(await staticFiles(BUILT));
await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
const executablePath = process.env.CHROME_PATH ?? "/usr/bin/chromium";
const browser = await chromium.launch({ executablePath, args: FLAGS });
try {
  for (const [name, state] of Object.entries(STATES))
    if (WANTED.length === 0 || WANTED.includes(name)) await enter(browser, url, name, state);
} finally {
  await browser.close();
  server.close();
}
