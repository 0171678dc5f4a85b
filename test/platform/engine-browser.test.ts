import { join } from "node:path";
import { type BuildOptions, build, type Plugin } from "esbuild";
import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import type { ClassifierEvaluation } from "../../src/index.web.ts";
import { BUNDLED_MODEL } from "../support/fixtures.ts";
import { hasBrowser, openBrowser } from "../support/page.ts";
import { ROOT } from "../support/shaders.ts";
import { PATIENCE, temporaryFolder, WAIT } from "./environment.ts";
import { serve } from "./serve.ts";

// Strict: no script but files of the site, nothing from elsewhere.
const POLICY = "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src 'self'";
const PAGE = `<!doctype html><meta http-equiv="Content-Security-Policy" content="${POLICY}">
<script type="module" src="/page/main.js"></script>`;

/** Bundles the page and its worker. */
async function bundle(outdir: string): Promise<void> {
  const { esbuildWgsl } = (await import(join(ROOT, "wgsl-plugin.mjs"))) as { esbuildWgsl: Plugin };
  const entryPoints: BuildOptions["entryPoints"] = {
    main: join(import.meta.dirname, "engine-page.ts"),
    "web-worker": join(ROOT, "src/platform/web-worker.ts"),
  };
  await build({
    entryPoints,
    outdir,
    bundle: true,
    format: "esm",
    plugins: [esbuildWgsl],
    logLevel: "error",
  });
}

interface Trained {
  readonly steps: readonly [step: number, loss: number][];
  readonly losses: readonly string[];
  /** Kernels that were compiled before the first step. */
  readonly compiled: number;
  readonly digest: string;
}

const train = async (page: Page, args = "") => (await page.evaluate(`train(${args})`)) as Trained;

/** Waits for a page; its policy forbids Playwright's own way. */
const until = (page: Page, condition: string) =>
  expect.poll(() => page.evaluate(condition), { timeout: WAIT }).toBe(true);

/** Serves the page with its worker, and the bundled model. */
async function servePage() {
  const folder = temporaryFolder();
  await bundle(folder);
  return serve({
    "/": { content: PAGE },
    "/page/": { folder },
    "/model/": { folder: BUNDLED_MODEL },
    "/favicon.ico": { content: "" },
  });
}

test("a run in a page's worker outlives a reload and a crash of the GPU process, to the same bytes", {
  timeout: PATIENCE,
}, async ({ skip }) => {
  skip(!hasBrowser, "Chromium is not installed");
  const server = await servePage();
  const browser = await openBrowser();
  try {
    const context = await browser.newContext();
    const errors: string[] = [];
    const open = async () => {
      const page = await context.newPage();
      page.on("pageerror", (error) => errors.push(String(error)));
      await page.goto(server.url);
      await until(page, "'train' in globalThis");
      return page;
    };
    const page = await open();
    const whole = await train(page);
    expect(whole.steps).toHaveLength(6);
    expect(whole.compiled).toBeGreaterThan(10);
    const [own, loaded] = (await page.evaluate("saveAndLoad()")) as string[];
    expect(loaded).toBe(own);

    await page.reload();
    await until(page, "'train' in globalThis");
    page.evaluate('train("runs/mine", 3)').catch(() => {}); // it ends with the page
    await until(page, "steps.length >= 3");
    const tab = await open();
    await expect(train(tab, '"runs/mine"')).rejects.toThrow(/another tab or program[\s\S]*another folder/);
    await tab.close();

    await page.reload();
    await until(page, "'train' in globalThis");
    const session = await browser.newBrowserCDPSession();
    const rest = train(page, '"runs/mine"');
    await until(page, "steps.length >= 1");
    await session.send("Browser.crashGpuProcess" as never);
    const { steps, losses, digest } = await rest;
    expect(steps[0]?.[0]).toBeGreaterThan(3);
    expect(steps).toEqual(whole.steps.slice(-steps.length));
    expect(losses.length).toBeLessThanOrEqual(1); // it may be through before the crash is
    expect(digest).toBe(whole.digest);
    expect(errors).toEqual([]);
  } finally {
    await browser.close();
    server.close();
  }
});

test("tasks other than language modelling run in a page's worker", { timeout: PATIENCE }, async ({
  skip,
}) => {
  skip(!hasBrowser, "Chromium is not installed");
  const server = await servePage();
  const browser = await openBrowser();
  try {
    const page = await browser.newPage();
    await page.goto(server.url);
    await until(page, "'trainTasks' in globalThis");
    const { preferred, metrics, labels, before, after } = (await page.evaluate("trainTasks()")) as {
      preferred: number[];
      metrics: Record<string, number>;
      labels: object;
      before: ClassifierEvaluation;
      after: ClassifierEvaluation;
    };
    expect(preferred[0]).toBeCloseTo(Math.LN2, 5); // the model is the reference yet
    expect(preferred[2]).toBeLessThan(preferred[0] as number);
    expect(metrics["rewards/accuracies"]).toBe(1);
    expect(labels).toEqual([
      { name: "more", count: 2 },
      { name: "one", count: 2 },
    ]);
    expect(before.count).toBe(4);
    expect(after.loss).toBeLessThan(before.loss);
    expect(after.classes.map(({ label }) => label)).toEqual(["more", "one"]);
  } finally {
    await browser.close();
    server.close();
  }
});
