// Drives the page in Chromium as a user would: takes the README's pictures, and checks that PEFT reads what the page gives.
//   node build.mjs --run scripts/page/main.ts [OUT]     pictures into docs/, the unzipped adapter into OUT (out/page-adapter)
//   CHROME_PATH names a browser where it is not /usr/bin/chromium
import { execFileSync } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { chromium, type Page } from "playwright-core";
import { staticFiles } from "../../src/cli/static-files.ts";
import { fromArray, loadAdapter, loadModel, openDevice } from "../../src/index.node.ts";
import { placeTokens, wholeRows } from "../../src/nn/geometry.ts";
import { unzipped } from "../../test/web/unzipped.ts";
import { FLAGS, until } from "./driving.ts";

const PICTURES = "docs";
const BUILT = ".cache/page";
const MODEL = "models/demo";

interface Picture {
  readonly name: string;
  readonly colour: "light" | "dark";
  readonly width: number;
  readonly height: number;
  /** The part that stands at the top; the page's own top unless given. */
  readonly part?: string;
}

async function takePicture(page: Page, { name, colour, width, height, part }: Picture): Promise<void> {
  await page.emulateMedia({ colorScheme: colour });
  await page.setViewportSize({ width, height });
  const place = part === undefined ? "0" : `document.getElementById("${part}").offsetTop - 16`;
  await page.evaluate(`document.activeElement?.blur(); scrollTo(0, ${place})`);
  await page.waitForTimeout(300); // the chart is drawn again
  await page.screenshot({ path: join(PICTURES, `${name}.png`) });
  await page.setViewportSize({ width: 1000, height: 900 });
}

async function drive(page: Page): Promise<Map<string, Buffer>> {
  await until(page, "model-status", /ready on/);
  await until(page, "memory-verdict", /\S/);
  await takePicture(page, { name: "page-examples", colour: "light", width: 820, height: 900 });
  await page.fill("#steps", "80");
  await page.click("#train");
  await until(page, "figure-step", /^(5\d|6\d) /);
  await takePicture(page, {
    name: "page-training",
    colour: "dark",
    width: 820,
    height: 1000,
    part: "train-title",
  });
  await until(page, "train-status", /Done/);
  await page.click("#ask");
  await until(page, "compare-status", /Both/);
  await page.click("#measure");
  await until(page, "map-status", /before, and is/);
  await takePicture(page, {
    name: "page-compare",
    colour: "light",
    width: 820,
    height: 1000,
    part: "compare-title",
  });
  await takePicture(page, {
    name: "page-narrow",
    colour: "dark",
    width: 360,
    height: 900,
    part: "map",
  });
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#download")]);
  return unzipped(await readFile(await download.path()));
}

const out = process.argv[2] ?? "out/page-adapter";
execFileSync(process.execPath, ["build.mjs", "--page", BUILT]);
const server = createServer(await staticFiles(BUILT));
await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
const browser = await chromium.launch({
  executablePath: process.env.CHROME_PATH ?? "/usr/bin/chromium",
  args: FLAGS,
});
try {
  const page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  for (const [name, content] of await drive(page)) {
    await mkdir(dirname(join(out, name)), { recursive: true });
    await writeFile(join(out, name), content);
  }
} finally {
  await browser.close();
  server.close();
}

const model = await loadModel(MODEL, { device: await openDevice() });
await loadAdapter(model, out);
const ids = model.tokenizer?.encode("Nina put 3 red lamps on the stairs.\nJSON: ") ?? [1, 2, 3];
const geometry = placeTokens(model.device, wholeRows(1, ids.length));
const input = fromArray(model.device, Uint32Array.from(ids), [1, ids.length]);
const hidden = model.hidden(input, { training: false, seed: 0, geometry });
await writeFile(`${out}/logits.json`, JSON.stringify([...(await model.logits(hidden).read())]));
console.log(
  `python test/fixtures/check_adapter.py --model ${MODEL} --adapter ${out} --ids ${ids} --expect ${out}/logits.json`,
);
process.exit();
