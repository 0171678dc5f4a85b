// The page as a host has it, and a browser that opens it.
import { execFileSync } from "node:child_process";
import { cpSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { expect } from "vitest";
import { staticFiles } from "../../src/cli/static-files.ts";
import { WAIT } from "../platform/environment.ts";
import { builtOnce } from "../support/build-once.ts";
import { openBrowser } from "../support/page.ts";
import { ROOT } from "../support/shaders.ts";

/** A browser, and where it finds the page. */
export interface ServedPage {
  readonly browser: Browser;
  readonly url: string;
  close(): Promise<void>;
}

/** Puts the built page into a folder, and serves it below a path, as a host may. */
export async function servePage(folder: string): Promise<ServedPage> {
  const built = await builtOnce("page", (kept) => {
    execFileSync(process.execPath, ["build.mjs", "--page", folder], { cwd: ROOT });
    cpSync(folder, kept, { recursive: true });
  });
  cpSync(built, folder, { recursive: true });
  const files = await staticFiles(folder);
  const server = createServer((request, response) => {
    request.url = request.url?.replace(/^\/below/, "") as string;
    files(request, response);
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const browser = await openBrowser();
  return {
    browser,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/below/`,
    async close() {
      await browser.close();
      server.close();
    },
  };
}

/** What a page says that it should not: errors, what its policy forbids, requests of other sites. */
export function complaintsOf(page: Page, url: string): string[] {
  const complaints: string[] = [];
  page.on("pageerror", ({ message }) => complaints.push(message));
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(message.text());
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(url) && !request.url().startsWith("blob:")) complaints.push(request.url());
  });
  return complaints;
}

/** What a part of the page says. */
export const textOf = async (page: Page, id: string) => (await page.locator(`#${id}`).textContent()) ?? "";

/** Waits until a part of the page says something; the page's policy forbids Playwright's own way. */
export const until = (page: Page, id: string, text: RegExp) =>
  expect.poll(() => textOf(page, id), { timeout: WAIT }).toMatch(text);

/** The last step that the page shows. */
export const stepOf = async (page: Page) => Number.parseInt(await textOf(page, "figure-step"), 10);

/** Waits until a run has come as far. */
export const untilStep = (page: Page, step: number) =>
  expect.poll(() => stepOf(page), { timeout: WAIT }).toBeGreaterThanOrEqual(step);

/** Opens the page, and waits until its model is there. */
export async function openReady(page: Page, url: string): Promise<void> {
  await page.goto(url);
  await until(page, "model-status", /ready on/);
}

/** Trains on the bundled examples, two at a time. */
export async function beginRun(page: Page, steps: number): Promise<void> {
  await page.fill("#steps", String(steps));
  await page.fill("#batch", "2");
  await page.click("#train");
}

/** Steps of a run that no machine ends while a test looks at it: the test stops it. */
export const ENDLESS = 2000;

/** Stops a run, and waits until it has. */
export async function stopRun(page: Page): Promise<void> {
  await page.click("#stop");
  await until(page, "train-status", /Stopped after step \d+/);
}

/** Presses Pause as soon as the page shows a step of the run that is about to begin, however fast its steps are. */
export const pauseAt = (page: Page, step: number) =>
  page.evaluate(`new MutationObserver((_, observer) => {
    if (Number.parseInt(document.getElementById("figure-step").textContent, 10) < ${step}) return;
    observer.disconnect();
    document.getElementById("pause").click();
  }).observe(document.getElementById("figure-step"), { childList: true }); undefined`);

/** Comes to an element as people do who have no mouse. */
export async function tabTo(page: Page, id: string): Promise<void> {
  for (let i = 0; i < 100; i++) {
    if ((await page.evaluate("document.activeElement.id")) === id) return;
    await page.keyboard.press("Tab");
  }
  throw new Error(`the key Tab does not lead to #${id}`);
}

/** In the worker 20 seconds are over: a run writes its state behind the next step. */
export const LATER =
  "{ const now = performance.now.bind(performance); performance.now = () => now() + 21_000; undefined; }";

/** Asks the model before and after. */
export async function ask(page: Page): Promise<{ before: string; after: string }> {
  await page.click("#ask");
  await until(page, "compare-status", /Both/);
  return { before: await textOf(page, "answer-before"), after: await textOf(page, "answer-after") };
}

const AXE = readFileSync(createRequire(join(ROOT, "package.json")).resolve("axe-core/axe.min.js"), "utf8");

/** What stands in the way of people, in the colours that the page has now (axe-core's rules, best practices included). */
export async function barriersOf(page: Page): Promise<string[]> {
  if (!(await page.evaluate("'axe' in globalThis"))) await page.evaluate(AXE);
  return (await page.evaluate(`axe.run({ preload: false, resultTypes: ["violations"] }).then(({ violations }) =>
    violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => id + ": " + html)))`)) as string[];
}
