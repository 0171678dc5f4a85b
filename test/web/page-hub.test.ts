import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { CASES } from "../../scripts/llama-cpp/cases.ts";
import { randomCheckpoint } from "../../scripts/llama-cpp/random-checkpoint.ts";
import { PATIENCE, temporaryFolder, WAIT } from "../platform/environment.ts";
import { testDevice } from "../support/device.ts";
import { BUNDLED_MODEL } from "../support/fixtures.ts";
import { exportGguf } from "../support/gguf-models.ts";
import { hasBrowser } from "../support/page.ts";
import { filesIn, playHub, TOKEN } from "./played-hub.ts";
import { barriersOf, openReady, type ServedPage, servePage, textOf, until } from "./served-page.ts";

const folder = temporaryFolder("file");
let served: ServedPage;

beforeAll(async () => {
  if (hasBrowser) served = await servePage(join(folder, "page"));
});

afterAll(() => served?.close());

/** What the page says of an open model: at once, and when its parameters are counted. */
const readyIn = (name: string, bits = "") =>
  new RegExp(`${name}(?:: [\\d,]+ parameters)?${bits}[:,] ready on`);

/** A small random model in two GGUF files; the bundled one's tokenizer is none of llama.cpp's. */
async function ggufFiles(): Promise<Map<string, Buffer>> {
  const device = await testDevice();
  const files = new Map<string, Buffer>();
  for (const type of ["f16", "q8_0"] as const) {
    const bytes = await exportGguf(device, randomCheckpoint(device, CASES[0]), type);
    files.set(`tiny-${type.toUpperCase()}.gguf`, Buffer.from(bytes));
  }
  return files;
}

test("a model of the hub is looked up, downloaded in two goes, checked, kept and deleted; a folder and a gated one", {
  timeout: PATIENCE,
}, async ({ skip }) => {
  skip(!hasBrowser, "Chromium is not installed");
  const context = await served.browser.newContext();
  const hub = await playHub(context, filesIn(BUNDLED_MODEL), await ggufFiles());
  const page = await context.newPage();
  const lookUp = async (id: string) => {
    await page.fill("#hub-id", id);
    await page.click("#hub-look");
  };
  await openReady(page, served.url);
  await page.click("#other-model summary");
  await lookUp("gpt2");
  await until(page, "hub-error", /written owner\/name/);
  await lookUp("acme/gated");
  await until(page, "hub-error", /accept its terms on https:\/\/huggingface\.co\/acme\/gated/);
  await page.fill("#hub-token", TOKEN);
  await lookUp("acme/gated");
  await until(page, "hub-status", /967,808 parameters, 2\.0 MB to download/);
  await page.fill("#hub-token", "");
  await lookUp("acme/open");
  await until(page, "hub-status", /acme\/open: .* of which 1\.1 MB are here/); // its header was read
  await page.evaluate("navigator.storage.estimate = async () => ({ quota: 1000, usage: 0 })");
  await lookUp("acme/open");
  await until(page, "hub-error", /lets the page keep 0 kB more\s+Delete a model below/);
  await page.evaluate("delete navigator.storage.estimate");
  await lookUp("acme/open");
  await until(page, "hub-status", /2\.0 MB to download/);
  hub.stopsAfter = 1_500_000;
  await page.click("#hub-download");
  await until(page, "hub-status", /1\.5 MB of 2\.0 MB/);
  await page.click("#hub-stop");
  await until(page, "hub-status", /Stopped/);

  await page.reload(); // which forgets the token, and nothing that has come
  await until(page, "model-status", /ready on/);
  expect(await page.inputValue("#hub-token")).toBe("");
  await page.click("#other-model summary");
  await until(page, "kept", /acme\/open · 1\.5 MB · only a part is here/);
  await page.click("#kept li:has-text('acme/open') button:has-text('Go on')");
  await until(page, "hub-status", /of which 1\.5 MB are here/);
  delete hub.stopsAfter;
  hub.asked.length = 0;
  await page.click("#hub-download");
  await until(page, "model-status", readyIn("acme/open"));
  const weights = hub.asked.filter(
    ({ path, range }) => path.endsWith("/model.safetensors") && range !== "bytes=0-0",
  );
  expect(weights.map(({ range }) => range)).toEqual(["bytes=1500000-1939671"]); // the rest, once
  await expect.poll(() => page.inputValue("#rate"), { timeout: WAIT }).toBe("0.0002"); // the library's default

  // A GGUF file, as the command line names it, or chosen among those that there are.
  await page.click("#other-model summary");
  await lookUp("acme/gguf:Q4_K_M");
  await until(page, "hub-error", /no GGUF file Q4_K_M; it has tiny-F16\.gguf, tiny-Q8_0\.gguf/);
  await lookUp("acme/gguf:q8_0");
  await until(page, "hub-status", /acme\/gguf:tiny-Q8_0\.gguf: .* parameters, [\d.]+ [kM]B to download/);
  await lookUp("acme/gguf");
  await until(page, "hub-status", /has 2 GGUF files/);
  expect(await barriersOf(page)).toEqual([]);
  await page.selectOption("#hub-file", "acme/gguf:tiny-Q8_0.gguf");
  await until(page, "hub-status", /Q8_0\.gguf: .* to download/);
  await page.click("#hub-download");
  await until(page, "model-status", readyIn("acme/gguf:tiny-Q8_0.gguf"));
  await page.click("#other-model summary");
  await until(page, "kept", /acme\/gguf:tiny-Q8_0\.gguf · [\d.]+ [kM]B · open now/);
  await page.click("#kept li:has-text('acme/open') button:has-text('Use')");
  await until(page, "model-status", readyIn("acme/open"));
  await page.click("#other-model summary");
  await page.click("#kept li:has-text('Q8_0') button:has-text('Delete')");
  await until(page, "hub-status", /acme\/gguf:tiny-Q8_0\.gguf is deleted/);

  await page.reload();
  await until(page, "model-status", readyIn("acme/open"));
  await page.click("#other-model summary");
  await until(page, "kept", /acme\/gated/);
  await page.evaluate("globalThis.button = document.querySelector(\"[aria-label='Delete acme/gated']\")");
  await page.selectOption("#bits", "4");
  await until(page, "model-status", readyIn("acme/open", ", in 4 bits"));
  await until(page, "model-status", /967,808 parameters/); // the list was shown anew before they were counted
  // Else a press would be lost that the new list comes under.
  expect(await page.evaluate("button.isConnected")).toBe(true);
  const folder = temporaryFolder();
  cpSync(BUNDLED_MODEL, join(folder, "mine"), { recursive: true });
  mkdirSync(join(folder, "photos"));
  writeFileSync(join(folder, "photos/a.jpg"), "");
  await page.setInputFiles("#folder-input", join(folder, "photos"));
  await until(page, "model-error", /photos: is neither a model/);
  expect(await textOf(page, "model-status")).toMatch(readyIn("acme/open", ", in 4 bits")); // nothing was lost
  await page.setInputFiles("#folder-input", join(folder, "mine"));
  await until(page, "model-status", readyIn("mine", ", in 4 bits"));
  await page.click("#other-model summary");
  await page.click("#kept li:has-text('acme/open') button:has-text('Delete')");
  await until(page, "hub-status", /deleted/);
  expect(await textOf(page, "kept")).toBe("acme/gated · 1.1 MB · only a part is hereGo onDelete");
  await context.close();
});
