// Small helpers for pages and plots that are written as text.
import { escapeHtml } from "../src/util/html.ts";

/** Families of kernels that share a colour; what no family names belongs to the last one. */
export const FAMILIES = [
  { label: "matrix products", kernels: ["matmul"] },
  { label: "attention", kernels: ["attention"] },
  { label: "loss and optimiser", kernels: ["cross-entropy", "adamw", "gradient-norm"] },
  { label: "everything else", kernels: [] },
] as const;

/** Index of a kernel's family, for the classes `f0` to `f3`. */
export function familyOf(kernel: string): number {
  const found = FAMILIES.findIndex(({ kernels }) => (kernels as readonly string[]).includes(kernel));
  return found >= 0 ? found : FAMILIES.length - 1;
}

/** A bar as long as a share, with what it is of, and what is said of it. */
export function rateBar(
  name: string,
  said: string,
  { share, family }: { readonly share: number; readonly family: number },
): string {
  const width = Math.min(100, 100 * share).toFixed(1);
  return `<div class="rate"><div><span>${escapeHtml(name)}</span><span>${escapeHtml(said)}</span></div><svg class="track" aria-hidden="true"><rect class="f${family}" width="${width}%" height="100%" rx="5"/></svg></div>`;
}

/** How a report looks on a page that has its own ground, text and lines, in light and in dark. */
export const REPORT_STYLE = `
:root { --f0: #2f4fc9; --f1: #b45309; --f2: #7c3aed; --f3: #047857; --bad: #b3261e; --good: #047857; --track: #eceef2; }
@media (prefers-color-scheme: dark) { :root { --f0: #9db2ff; --f1: #f0a04b; --f2: #b197fc; --f3: #38c793;
  --bad: #ff9d94; --good: #38c793; --track: #2b2f37; } }
p, li { overflow-wrap: anywhere; } .note { margin: .2em 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(130px, 1fr)); gap: 8px; margin: 14px 0; }
.tile { border: 1px solid var(--line); border-radius: 8px; padding: 10px 12px; font-size: .85em; color: var(--faint); }
.tile b { display: block; font-size: 1.35em; color: var(--text); white-space: nowrap; font-variant-numeric: tabular-nums; }
.families { display: flex; flex-wrap: wrap; gap: 4px 16px; margin: 6px 0; padding: 0; list-style: none; font-size: .9em; }
.families i { display: inline-block; width: .8em; height: .8em; border-radius: 50%; margin-right: .4em; }
svg { display: block; width: 100%; max-width: 620px; height: auto; } svg text { fill: var(--faint); font-size: 10.5px; }
svg .axis { stroke: var(--line); } svg .roof { stroke: var(--text); fill: none; stroke-width: 1.6; }
.f0 { fill: var(--f0); background: var(--f0); } .f1 { fill: var(--f1); background: var(--f1); }
.f2 { fill: var(--f2); background: var(--f2); } .f3 { fill: var(--f3); background: var(--f3); }
.rate { margin: 5px 0; } .rate div { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 12px; font-size: .88em; }
.rate span:last-child { white-space: nowrap; font-variant-numeric: tabular-nums; color: var(--faint); }
svg.track { width: 100%; max-width: none; height: 9px; border-radius: 5px; background: var(--track); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .85em; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 3px 8px; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } .slower { color: var(--bad); } .faster { color: var(--good); }
`;

/** Style of a report that is a page of its own. */
export const STYLE = `
:root { color-scheme: light dark; --text: #1d1f24; --faint: #5c616b; --line: #dfe1e6; --ground: #fbfbfa; --card: #fff; }
@media (prefers-color-scheme: dark) { :root { --text: #e7e9ee; --faint: #a2a8b4; --line: #32363f; --ground: #14161a;
  --card: #1c1f25; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 16px; max-width: 880px; background: var(--ground); color: var(--text);
  font: 15px/1.45 system-ui, sans-serif; }
section { margin: 16px 0; padding: 16px; border: 1px solid var(--line); border-radius: 12px; background: var(--card); }
h1 { font-size: 1.4em; margin: .2em 0; overflow-wrap: anywhere; } h2 { font-size: 1.1em; margin: 0 0 .5em; }
h3 { font-size: .92em; font-weight: 600; margin: 1.2em 0 .2em; } .faint { color: var(--faint); }
details { margin: 1em 0; } summary { cursor: pointer; font-weight: 600; }
${REPORT_STYLE}`;
