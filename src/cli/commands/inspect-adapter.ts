import { inspectAdapter } from "../../load/inspect/inspect-adapter.ts";
import { adapterPage } from "../inspect-adapter/page.ts";
import { describeAdapter } from "../inspect-adapter/text.ts";
import { openSource, peftSource } from "../open.ts";
import type { Settled } from "../settings.ts";
import type { INSPECT_ADAPTER_OPTIONS } from "../tables/inspect-adapter.ts";
import { printLines, type Terminal } from "../terminal.ts";
import { writePage } from "../write-page.ts";

/**
 * `webgpu-lora inspect-adapter`: what an adapter is, where it comes from and how much it changes. No device is needed.
 * @returns the exit code: 1 where something makes the adapter useless
 */
export async function runInspectAdapter(
  { settings }: Settled<typeof INSPECT_ADAPTER_OPTIONS>,
  terminal: Terminal,
): Promise<number> {
  const { adapter_path: reference, adapter_revision, model, revision, token, verify, html } = settings;
  const note = (line: string) => terminal.note(line);
  const onWarning = (warning: string) => note(`warning: ${warning}`);
  const files = await peftSource({ reference, revision: adapter_revision, token, verify }, note);
  const base =
    model === undefined ? undefined : await openSource(model, { revision, token, verify, onWarning });
  const report = await inspectAdapter(files, { base });
  if (html !== undefined) {
    await writePage(html, adapterPage(report));
    note(`Wrote ${html}`);
  }
  if (settings.json) printLines(terminal.print, JSON.stringify(report, null, 2));
  else for (const line of describeAdapter(report, settings.layers)) terminal.paint(line);
  return report.findings.some(({ level }) => level === "error") ? 1 : 0;
}
