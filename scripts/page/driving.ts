// What drives the page in Chromium for its pictures.
import type { Page } from "playwright-core";

/** How Chromium is told to have WebGPU on a software device. */
export const FLAGS = ["--no-sandbox", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];

/** Milliseconds that a run may take on a software device. */
const PATIENCE = 600_000;

/** Waits until a part of the page says something. */
export async function until(page: Page, id: string, text: RegExp): Promise<void> {
  const started = performance.now();
  while (!text.test((await page.locator(`#${id}`).textContent()) ?? "")) {
    if (performance.now() - started > PATIENCE) throw new Error(`the page never said ${text} in #${id}`);
    await new Promise((passed) => setTimeout(passed, 200));
  }
}
