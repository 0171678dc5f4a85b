import type { Settled } from "../settings.ts";
import type { RUNS_OPTIONS } from "../tables/runs.ts";
import { printLines, type Terminal } from "../terminal.ts";
import { comparisonPage, describeRuns, differencesOf, summaryOf } from "../watch/compare-runs.ts";
import { findRuns } from "../watch/run-folders.ts";
import { writePage } from "../write-page.ts";

/**
 * `webgpu-lora runs`: lists runs, and compares their figures and settings.
 * @returns the exit code
 */
export async function runRuns(
  { settings }: Settled<typeof RUNS_OPTIONS>,
  terminal: Terminal,
): Promise<number> {
  const { folders, sort, html, json } = settings;
  const runs = findRuns(folders.length > 0 ? folders : ["."], sort);
  const summaries = runs.map(summaryOf);
  if (html !== undefined) {
    await writePage(html, comparisonPage(runs));
    terminal.note(`Wrote ${html}`);
  }
  if (json) {
    const report = { runs: summaries, differences: differencesOf(summaries) };
    printLines(terminal.print, JSON.stringify(report, null, 2));
  } else for (const line of describeRuns(summaries)) terminal.print(line);
  return 0;
}
