// Small helpers for pages and plots that are written as text.

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

/** Style of reports, in light and in dark. */
export const STYLE = `
:root { color-scheme: light dark; --text: #1b1f24; --faint: #5b6570; --line: #d5dae0; --page: #fff; --card: #f4f6f8;
  --f0: #2563eb; --f1: #b45309; --f2: #7c3aed; --f3: #047857; --bad: #b91c1c; --good: #047857; }
@media (prefers-color-scheme: dark) { :root { --text: #e7eaee; --faint: #9aa4af; --line: #39414a; --page: #14171a;
  --card: #1e2328; --f0: #60a5fa; --f1: #f0a04b; --f2: #b197fc; --f3: #38c793; --bad: #f87171; --good: #38c793; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 16px; max-width: 880px; background: var(--page); color: var(--text);
  font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.4em; margin: .2em 0; overflow-wrap: anywhere; } h2 { font-size: 1.1em; margin: 1.8em 0 .5em; }
h3 { font-size: .92em; font-weight: 600; margin: 1.2em 0 .2em; }
p, li { overflow-wrap: anywhere; } .faint { color: var(--faint); } .note { margin: .2em 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 8px; margin: 14px 0; }
.tile { background: var(--card); border-radius: 8px; padding: 10px 12px; }
.tile b { display: block; font-size: 1.2em; white-space: nowrap; font-variant-numeric: tabular-nums; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 16px; margin: 6px 0; padding: 0; list-style: none; font-size: .9em; }
.legend i { display: inline-block; width: .8em; height: .8em; border-radius: 50%; margin-right: .4em; }
svg { display: block; width: 100%; max-width: 620px; height: auto; } svg text { fill: var(--faint); font-size: 10.5px; }
svg .axis { stroke: var(--line); } svg .roof { stroke: var(--text); fill: none; stroke-width: 1.6; }
.f0 { fill: var(--f0); background: var(--f0); } .f1 { fill: var(--f1); background: var(--f1); }
.f2 { fill: var(--f2); background: var(--f2); } .f3 { fill: var(--f3); background: var(--f3); }
.bar { margin: 5px 0; } .bar div { display: flex; justify-content: space-between; gap: 12px; font-size: .88em; }
.bar span:last-child { white-space: nowrap; font-variant-numeric: tabular-nums; color: var(--faint); }
.track { height: 9px; border-radius: 5px; background: var(--card); overflow: hidden; }
.track i { display: block; height: 100%; border-radius: 5px; min-width: 2px; }
svg.track { width: 100%; max-width: none; }
details { margin: 1em 0; } summary { cursor: pointer; font-weight: 600; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .85em; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 3px 8px; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } .slower { color: var(--bad); } .faster { color: var(--good); }
button, .button { font: inherit; color: var(--page); background: var(--f0); border: 0; border-radius: 6px;
  padding: 8px 16px; cursor: pointer; text-decoration: none; display: inline-block; margin: 0 8px 8px 0; }
button:disabled { opacity: .5; cursor: default; } label { display: inline-block; margin: 0 12px 8px 0; }
input, select { font: inherit; padding: 5px 8px; max-width: 9em; } progress { width: 100%; accent-color: var(--f0); }
`;
