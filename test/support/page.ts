// Pages that commands write, as text and in a browser.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { type Browser, chromium } from "playwright-core";
import { CHROMIUM_CANDIDATES, CHROMIUM_FLAGS } from "../platform/chromium.ts";

const executablePath = CHROMIUM_CANDIDATES.find((path) => path && existsSync(path));

/** Whether there is a browser here. */
export const hasBrowser = executablePath !== undefined;

export function openBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: executablePath as string, args: CHROMIUM_FLAGS });
}

/** A browser whose tabs are hidden and frozen as a person's are: what Playwright launches, it keeps shown. */
export async function openPersonsBrowser(userDataFolder: string): Promise<Browser> {
  const flags = ["--headless", "--remote-debugging-port=0", `--user-data-dir=${userDataFolder}`];
  const chromiumProcess = spawn(executablePath as string, [...CHROMIUM_FLAGS, ...flags], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  for await (const line of createInterface(chromiumProcess.stderr)) {
    said += `${line}\n`;
    const endpoint = /listening on (ws:\S+)/.exec(line)?.[1];
    if (endpoint === undefined) continue;
    chromiumProcess.stderr.resume();
    const browser = await chromium.connectOverCDP(endpoint, { noDefaults: true });
    browser.on("disconnected", () => chromiumProcess.kill());
    return browser;
  }
  throw new Error(`Chromium does not start: ${said}`);
}

/** Tags that are opened and not closed, or the other way round; elements without content have no end. */
export function unbalanced(page: string): string[] {
  const open: string[] = [];
  const wrong: string[] = [];
  for (const [, slash, name = ""] of withoutPrograms(page).matchAll(/<(\/?)([a-z][a-z0-9]*)[^>]*>/gi)) {
    if (["meta", "br", "wbr"].includes(name)) continue;
    if (slash === "") open.push(name);
    else if (open.pop() !== name) wrong.push(name);
  }
  return [...wrong, ...open];
}

/** What a script or a style says looks like tags now and then. */
const withoutPrograms = (page: string) => page.replace(/(<(script|style)[^>]*>)[\s\S]*?(?=<\/\2>)/g, "$1");

/** What a page is looked at through. */
export interface Window {
  readonly width: number;
  readonly height: number;
  readonly colour: "light" | "dark";
}

/** How a page does in a browser: whether it fits, its colour, what it asks the network for, and what it says. */
export async function look(browser: Browser, html: string, { colour: colorScheme, ...viewport }: Window) {
  const page = await browser.newPage({ viewport, colorScheme });
  const requests: string[] = [];
  const said: string[] = [];
  page.on("request", (request) => requests.push(request.url()));
  page.on("pageerror", (error) => said.push(error.message));
  page.on("console", (message) => said.push(message.text()));
  await page.setContent(html);
  const fits = await page.evaluate("document.documentElement.scrollWidth <= innerWidth");
  const background = await page.evaluate("getComputedStyle(document.body).backgroundColor");
  const canvases = await page.evaluate("document.querySelectorAll('canvas').length");
  return { fits, background, requests, said, canvases };
}
