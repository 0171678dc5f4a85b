import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { chromium, type Page } from "playwright-core";
import { expect, test } from "vitest";
import { parseReport } from "../../kernels-bench/result.ts";
import { staticFiles } from "../../src/cli/static-files.ts";
import { barriersOf } from "../web/served-page.ts";
import { CHROMIUM_CANDIDATES, CHROMIUM_FLAGS } from "./chromium.ts";
import { buildPackage, PATIENCE, temporaryFolder, WAIT } from "./environment.ts";

/** Runs the benchmark of one kernel through the page's own controls, and downloads what it found. */
async function measureInPage(page: Page, url: string): Promise<string> {
  await page.goto(url);
  await page.selectOption("#kernel", "sampling");
  await page.fill("#budget", "20");
  await page.click("#run");
  await page.waitForSelector("#busy:not([hidden])");
  expect(await page.isVisible("#run")).toBe(false); // Stop has its place
  const outcome = await page.waitForSelector("#downloads a, #error:not(:empty)", { timeout: WAIT });
  expect(await page.textContent("#error"), (await outcome.textContent()) ?? "").toBe("");
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#downloads a")]);
  expect(download.suggestedFilename()).toMatch(/\.json$/);
  return readFile(await download.path(), "utf8");
}

test(
  "the benchmark runs in Chromium: button, progress, report, download",
  async ({ skip }) => {
    const executablePath = CHROMIUM_CANDIDATES.find((path) => path && existsSync(path));
    skip(
      !executablePath,
      `Chromium is not installed at any of ${CHROMIUM_CANDIDATES.filter(Boolean).join(", ")}`,
    );
    const folder = temporaryFolder();
    await buildPackage(folder);
    const server = createServer(await staticFiles(join(folder, "page")));
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/bench/index.html`;
    const browser = await chromium.launch({ executablePath: executablePath as string, args: CHROMIUM_FLAGS });
    try {
      const page = await browser.newPage({ viewport: { width: 390, height: 844 } });
      const errors: string[] = [];
      page.on("pageerror", (error) => errors.push(String(error)));
      page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
      const report = parseReport(await measureInPage(page, url), "download");
      console.log(`Chromium measured ${report.device.name} by ${report.clock}`);
      expect(report.failed).toEqual([]);
      expect(report.results.map(({ kernel }) => kernel)).toContain("sampling");
      expect(await page.textContent("#report")).toContain("sampling argmax");
      expect(await page.evaluate("document.documentElement.scrollWidth <= innerWidth")).toBe(true);
      expect(await barriersOf(page)).toEqual([]);
      await page.reload(); // the result is still there, and the next one is compared with it
      expect(await page.textContent("#report")).toContain("sampling argmax");
      await page.selectOption("#kernel", "sampling");
      await page.fill("#budget", "1");
      await page.click("#run");
      await expect.poll(() => page.textContent("#report"), { timeout: WAIT }).toContain("compared with");
      expect(await barriersOf(page)).toEqual([]);
      await page.click("nav a"); // and back to what it was opened from
      expect(await page.title()).toBe("Teach a language model");
      expect(errors).toEqual([]);
    } finally {
      await browser.close();
      server.close();
    }
  },
  PATIENCE,
);
