// The page through its life in a browser: it is painted, hidden, put to sleep, and the process for graphics crashes under it.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { BrowserContext, CDPSession, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect, onTestFinished, test } from "vitest";
import { PATIENCE, temporaryFolder, WAIT } from "../platform/environment.ts";
import { hasBrowser, openPersonsBrowser } from "../support/page.ts";
import {
  beginRun,
  ENDLESS,
  openReady,
  type ServedPage,
  servePage,
  stepOf,
  stopRun,
  textOf,
  until,
  untilStep,
} from "./served-page.ts";

const folder = temporaryFolder("file");
let served: ServedPage;
let context: BrowserContext;
let page: Page;
let session: CDPSession;

beforeAll(async () => {
  if (hasBrowser) served = await servePage(join(folder, "page"));
});

afterAll(() => served?.close());

beforeEach(async ({ skip }) => {
  skip(!hasBrowser, "Chromium is not installed");
  context = await served.browser.newContext();
  page = await context.newPage();
  session = await context.newCDPSession(page);
});

afterEach(() => context.close());

/** Milliseconds from the call of a page to the first of its texts on the screen. */
const firstPaint = (page: Page) =>
  page.evaluate(`new Promise((painted) => new PerformanceObserver((list) => {
    for (const { name, startTime } of list.getEntries()) if (name === "first-contentful-paint") painted(startTime);
  }).observe({ type: "paint", buffered: true }))`) as Promise<number>;

/** Of the processor, what the page's own thread has taken so far, ms: other programs hardly change it. */
async function busyMilliseconds(): Promise<number> {
  const { metrics } = await session.send("Performance.getMetrics");
  return 1000 * (metrics.find(({ name }) => name === "TaskDuration")?.value as number);
}

/** What a first paint waits for, as a server sends it. */
const paintedBytes = () =>
  ["index.html", "style.css"].reduce(
    (sum, name) => sum + gzipSync(readFileSync(join(folder, "page", name))).length,
    0,
  );

test("the first paint waits for markup and style alone, and is there within a second", {
  timeout: PATIENCE,
}, async () => {
  await session.send("Performance.enable", { timeDomain: "threadTicks" });
  let release = () => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  await page.route(/\.js$/, async (route) => {
    await held;
    await route.continue();
  });
  const asked: string[] = [];
  page.on("request", (request) => asked.push(request.url().slice(served.url.length)));
  await page.goto(served.url, { waitUntil: "commit" });
  expect(await firstPaint(page)).toBeGreaterThan(0); // while no program is there
  expect(await page.isVisible("h1")).toBe(true);
  const busy = await busyMilliseconds();
  expect(asked.filter((name) => !/^(?:|style\.css|main\.js|icon\.svg)$/.test(name))).toEqual([]);
  release();
  // Other programs only ever add: one quick look is enough.
  let shown = Number.POSITIVE_INFINITY;
  for (let look = 0; look < 5 && shown >= 1000; look++) {
    await page.reload({ waitUntil: "commit" });
    shown = Math.min(shown, await firstPaint(page));
  }
  console.info(
    `first paint: ${shown.toFixed(0)} ms, of which the page's thread takes ${busy.toFixed(0)} ms of the processor, behind ${paintedBytes()} bytes`,
  );
  expect(busy).toBeGreaterThan(0);
  expect(busy).toBeLessThan(500); // it leaves as much to the way of the bytes
  expect(paintedBytes()).toBeLessThan(20_000);
  expect(shown).toBeLessThan(1000);
});

/** The steps of the run's curve, as the page keeps it. */
async function stepsKept(page: Page): Promise<number[]> {
  const { curve } = JSON.parse(await page.evaluate('localStorage.getItem("webgpu-lora/page/3")')) as {
    curve: [step: number, loss: number][];
  };
  return curve.map(([step]) => step);
}

/** Stops a run of whose curve no step is missing. @returns its steps */
async function stopWhole(page: Page): Promise<number> {
  await stopRun(page);
  const steps = await stepsKept(page);
  expect(steps).toEqual(Array.from(steps, (_, i) => i + 1));
  expect(await textOf(page, "train-error")).toBe("");
  return steps.length;
}

test("a tab that is hidden and put to sleep in a run loses nothing", { timeout: PATIENCE }, async () => {
  const browser = await openPersonsBrowser(join(folder, "person"));
  onTestFinished(() => browser.close());
  const [context] = browser.contexts() as [BrowserContext];
  const page = await context.newPage();
  const tab = await context.newCDPSession(page);
  await openReady(page, served.url);
  await beginRun(page, ENDLESS);
  await untilStep(page, 2);
  const other = await context.newPage();
  await other.bringToFront();
  await expect.poll(() => page.evaluate("document.visibilityState"), { timeout: WAIT }).toBe("hidden");
  await untilStep(page, (await stepOf(page)) + 2); // it goes on
  await page.evaluate('document.addEventListener("freeze", () => { globalThis.froze = true; })');
  await tab.send("Page.setWebLifecycleState", { state: "frozen" });
  await expect.poll(() => page.evaluate("globalThis.froze"), { timeout: WAIT }).toBe(true);
  const asleep = await stepOf(page);
  await new Promise((passed) => setTimeout(passed, 3000));
  expect(await stepOf(page)).toBe(asleep);
  await tab.send("Page.setWebLifecycleState", { state: "active" });
  await page.bringToFront();
  await untilStep(page, asleep + 2);
  expect(await stopWhole(page)).toBeGreaterThanOrEqual(asleep + 2);
});

/** What `chrome://gpucrash` does. */
async function crashGraphics(): Promise<void> {
  const session = await served.browser.newBrowserCDPSession();
  await session.send("Browser.crashGpuProcess");
  await session.detach();
}

test("graphics that crash cost a run nothing; where they crash again, it waits, and goes on after a reload", {
  timeout: PATIENCE,
}, async () => {
  await openReady(page, served.url);
  await beginRun(page, ENDLESS);
  await untilStep(page, 3);
  await crashGraphics();
  await until(page, "train-note", /chip was lost\. Learning goes on/);
  await untilStep(page, (await stepOf(page)) + 1);
  await crashGraphics(); // Chromium gives no device now for up to two minutes
  await until(page, "train-note", /does not give it back yet.*what was learnt is kept/);
  expect(await textOf(page, "train-status")).toMatch(/Waiting for the graphics chip/);
  expect(await textOf(page, "train-error")).toBe("");
  const kept = await stepOf(page);
  await page.reload();
  await untilStep(page, kept + 2);
  expect(await stopWhole(page)).toBeGreaterThanOrEqual(kept + 2);
});
