// What can go wrong under a page that trains: it says so in words, and nothing is lost.
import { join } from "node:path";
import type { BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { PATIENCE, temporaryFolder, WAIT } from "../platform/environment.ts";
import { hasBrowser } from "../support/page.ts";
import {
  ask,
  barriersOf,
  beginRun,
  ENDLESS,
  LATER,
  openReady,
  type ServedPage,
  servePage,
  stepOf,
  stopRun,
  tabTo,
  textOf,
  until,
  untilStep,
} from "./served-page.ts";

const folder = temporaryFolder("file");
let served: ServedPage;
let context: BrowserContext;
let page: Page;

beforeAll(async () => {
  if (hasBrowser) served = await servePage(join(folder, "page"));
});

afterAll(() => served?.close());

beforeEach(async ({ skip }) => {
  skip(!hasBrowser, "Chromium is not installed");
  context = await served.browser.newContext();
  page = await context.newPage();
});

afterEach(() => context.close());

/** Runs a program in the page's worker. */
const inWorker = (program: string) => page.workers()[0]?.evaluate(program);

/** The device is lost with the next thing that it is asked. */
const LOSE_DEVICE = `{ const { prototype } = GPUDevice, { createCommandEncoder } = prototype;
  prototype.createCommandEncoder = function (...given) {
    prototype.createCommandEncoder = createCommandEncoder;
    const encoder = createCommandEncoder.apply(this, given);
    this.destroy();
    return encoder;
  }; undefined; }`;

test("without WebGPU, and where the model does not come, it says what to do", {
  timeout: PATIENCE,
}, async () => {
  await page.route("**/model/model.safetensors", (route) => route.abort());
  await page.goto(served.url);
  await until(page, "obstacle", /could not start[\s\S]*\S/);
  await page.addInitScript("Object.defineProperty(navigator, 'gpu', { value: undefined })");
  await page.reload();
  await until(page, "obstacle-title", /no WebGPU/);
  await until(page, "obstacle-steps", /graphics acceleration/);
  expect(await page.locator("#train").isVisible()).toBe(false);
  expect(await barriersOf(page)).toEqual([]);
});

test("a run can be paused and stopped before it has begun", { timeout: PATIENCE }, async () => {
  await openReady(page, served.url);
  await page.evaluate(`for (const id of ["train", "pause"]) document.getElementById(id).click()`);
  await until(page, "train-status", /Paused/);
  await page.waitForTimeout(1000);
  expect(await textOf(page, "figure-step")).toMatch(/^[01] of/); // one may have been under way
  await page.click("#pause"); // which says Go on
  await untilStep(page, 1);
  await page.click("#stop");
  await until(page, "train-status", /Stopped after step \d+/);
  await page.evaluate(`for (const id of ["train", "stop"]) document.getElementById(id).click()`);
  await until(page, "train-status", /Stopped after step [01]\./);
  expect(await textOf(page, "train-error")).toBe("");
});

test("a double click is one: what takes the place of a button is not pressed by it", {
  timeout: PATIENCE,
}, async () => {
  await openReady(page, served.url);
  await page.fill("#steps", "3");
  await page.dblclick("#train"); // Pause comes in its place
  await until(page, "train-status", /Done: 3 steps/);
});

test("a setting that cannot be is shown where it is, and the defaults are none", {
  timeout: PATIENCE,
}, async () => {
  await page.goto(served.url);
  await page.fill("#steps", "7"); // as soon as the page lets people: the model's own settings do not take its place
  await until(page, "memory-verdict", /^A step takes/);
  expect(await page.inputValue("#steps")).toBe("7");
  await page.click("#fields summary");
  await page.fill("#length", "100000"); // more than the model can read
  await page.press("#length", "Tab");
  await until(page, "memory-verdict", /outside of what it can be/);
  await page.click("#fields summary"); // closed, so that the browser could not show it
  await page.click("#train");
  expect(await page.evaluate("document.activeElement.id")).toBe("length");
  expect(await page.isVisible("#length")).toBe(true);
  await page.click("#defaults");
  await until(page, "memory-verdict", /^A step takes/);
  expect(await page.evaluate(`document.getElementById("settings").checkValidity()`)).toBe(true);
});

test("what was kept and is gone, or is of another program, keeps nobody from training", {
  timeout: PATIENCE,
}, async () => {
  await openReady(page, served.url);
  await beginRun(page, 2);
  await until(page, "train-status", /Done: 2 steps/);
  const reloadWith = async (change: string) => {
    await page.evaluate(change);
    await page.reload();
    await until(page, "model-status", /ready on/);
  };
  await reloadWith(`localStorage.setItem("webgpu-lora/chosen/1", '{"adapter":"mine"}');
    navigator.storage.getDirectory().then((root) => root.removeEntry("page", { recursive: true }))`);
  await until(page, "train-error", /has cleared what it kept of the last run/);
  await until(page, "adapter-error", /has cleared the adapter mine/);
  await reloadWith("0"); // said once
  expect([await textOf(page, "train-error"), await textOf(page, "adapter-error")]).toEqual(["", ""]);
  for (const [key, value] of [
    ["chosen/1", "null"],
    ["chosen/1", '{"model":{"from":"elsewhere"}}'],
    ["page/3", "{"],
    ["page/3", "{}"],
  ] as const) {
    await reloadWith(`localStorage.clear(); localStorage.setItem("webgpu-lora/${key}", '${value}')`);
    expect(await textOf(page, "model-error")).toBe("");
  }
  await beginRun(page, 2);
  await until(page, "train-status", /Done: 2 steps/);
});

test("a text that is dragged goes where it is dropped, and files are told apart", {
  timeout: PATIENCE,
}, async () => {
  await openReady(page, served.url);
  const drop = (fill: string) =>
    page.evaluate(`{ const dataTransfer = new DataTransfer(); ${fill};
      dispatchEvent(new DragEvent("drop", { dataTransfer, cancelable: true })); }`);
  expect(await drop('dataTransfer.setData("text/plain", "text")')).toBe(true); // left to the browser
  expect(await drop('dataTransfer.items.add(new File(["x"], "a.png"))')).toBe(false);
  await until(page, "drop-error", /^a\.png: is neither/);
  await drop('dataTransfer.items.add(new File([`{"text":"hello"}`], "a.jsonl"))');
  await until(page, "data-status", /^a\.jsonl: 1 example/);
  expect(await page.isVisible("#drop-error")).toBe(false); // what was said of the file before
});

test("a device that is lost in a run costs nothing", { timeout: PATIENCE }, async () => {
  await openReady(page, served.url);
  await beginRun(page, ENDLESS);
  await untilStep(page, 2);
  await inWorker(LOSE_DEVICE);
  await until(page, "train-note", /graphics chip was lost/);
  await untilStep(page, (await stepOf(page)) + 2);
  await stopRun(page);
  expect(await textOf(page, "train-error")).toBe("");
  expect((await ask(page)).after).not.toBe("");
});

test("by the keyboard, with a full storage and without a network, what was learnt can be taken", {
  timeout: PATIENCE,
}, async () => {
  await openReady(page, served.url);
  const { origin } = new URL(served.url);
  const session = await context.newCDPSession(page);
  await session.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 100 });
  // By the keyboard alone, from here to the zip.
  await tabTo(page, "steps");
  await page.keyboard.type("1000");
  await tabTo(page, "batch");
  await page.keyboard.type("2");
  await tabTo(page, "train");
  await page.keyboard.press("Enter");
  await until(page, "train-note", /not kept[\s\S]*free disk space/);
  await untilStep(page, 2);
  await context.setOffline(true);
  expect(await page.evaluate("document.activeElement.id")).toBe("pause");
  await tabTo(page, "stop");
  await page.keyboard.press("Enter");
  await until(page, "train-status", /Stopped after step \d+/);
  expect(await page.evaluate("document.activeElement.id")).toBe("train");
  await tabTo(page, "download");
  const [download] = await Promise.all([page.waitForEvent("download"), page.keyboard.press("Enter")]);
  expect(download.suggestedFilename()).toBe("adapter.zip");
  await until(page, "take-status", /adapter_model\.safetensors/);
  expect(await barriersOf(page)).toEqual([]);
});

/** Of a run whose tab is closed: enough for a busy machine to close it behind its fourth step, and before its last. */
const STEPS = 24;

test("a tab that is closed while it saves has lost nothing", { timeout: PATIENCE }, async () => {
  await openReady(page, served.url);
  await beginRun(page, STEPS);
  await untilStep(page, 1);
  await inWorker(LATER);
  await untilStep(page, 4);
  // The next state is being written for ever.
  await inWorker(
    "FileSystemWritableFileStream.prototype.close = () => new Promise(() => { self.writes = true; })",
  );
  await inWorker(LATER);
  await expect.poll(() => inWorker("self.writes"), { timeout: WAIT }).toBe(true);
  await page.close();
  page = await context.newPage();
  await page.goto(served.url);
  await until(page, "train-status", new RegExp(`Done: ${STEPS} steps`));
  const { curve } = JSON.parse(await page.evaluate('localStorage.getItem("webgpu-lora/page/3")')) as {
    curve: [step: number, loss: number][];
  };
  expect(curve.map(([step]) => step)).toEqual(Array.from({ length: STEPS }, (_, i) => i + 1));
});
