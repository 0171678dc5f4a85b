import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { chromium, type Page } from "playwright-core";
import { expect, test } from "vitest";
import { parseReport } from "../../kernels-bench/result.ts";
import { CHROMIUM_CANDIDATES, CHROMIUM_FLAGS } from "./chromium.ts";
import { buildPackage, PATIENCE, temporaryFolder } from "./environment.ts";
import { serve } from "./serve.ts";

/** Runs the benchmark of one kernel through the page's own controls, and downloads what it found. */
async function measureInPage(page: Page, url: string): Promise<string> {
  await page.goto(url);
  await page.selectOption("#kernel", "sampling");
  await page.fill("#budget", "20");
  await page.click("#run");
  await page.waitForSelector("#busy:not([hidden])");
  const outcome = await page.waitForSelector("#downloads a, #error:not(:empty)", { timeout: PATIENCE });
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
    buildPackage(folder);
    const index = await readFile(join(folder, "bench/index.html"), "utf8");
    const server = await serve({
      "/": { content: index },
      "/bench/": { folder: join(folder, "bench") },
      "/page.js": { content: await readFile(join(folder, "bench/page.js"), "utf8") },
    });
    const browser = await chromium.launch({ executablePath: executablePath as string, args: CHROMIUM_FLAGS });
    try {
      const page = await browser.newPage({ viewport: { width: 390, height: 844 } });
      const errors: string[] = [];
      page.on("pageerror", (error) => errors.push(String(error)));
      const report = parseReport(await measureInPage(page, server.url), "download");
      console.log(`Chromium measured ${report.device.name} by ${report.clock}`);
      expect(report.failed).toEqual([]);
      expect(report.results.map(({ kernel }) => kernel)).toContain("sampling");
      expect(await page.textContent("#report")).toContain("sampling argmax");
      expect(await page.evaluate("document.documentElement.scrollWidth <= innerWidth")).toBe(true);
      expect(errors).toEqual([]);
    } finally {
      await browser.close();
      server.close();
    }
  },
  PATIENCE,
);
