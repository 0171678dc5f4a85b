// What stands in the zip beside the adapter: the report of the run as one page, and its settings for the command line.
import { METHODS } from "../../adapters/methods.ts";
import { largest } from "../../util/arrays.ts";
import { escapeHtml } from "../../util/html.ts";
import type { CurvePoint } from "./kept-run.ts";
import type { RunTold } from "./session.ts";

/** A run as a configuration of `webgpu-lora train`, in YAML. */
export function runConfig(told: RunTold): string {
  const { model, data, reading } = told;
  const lines = Object.entries({ model, data, ...reading, ...settingsOf(told) }).map(
    ([name, value]) => `${name}: ${JSON.stringify(value)}\n`,
  );
  return `# This run again, with the model and the data where yours lie:
# webgpu-lora train --config run.yaml --model MODEL --data FILE --output-dir FOLDER
${lines.join("")}`;
}

/** All that was set, by the command line's names. */
function settingsOf({ method: { method, ...options }, settings }: RunTold): Record<string, unknown> {
  const table = METHODS.find(({ name }) => name === method)?.options ?? {};
  const nameOf = (key: string) => Object.entries(table).find(([, { sets }]) => sets === key)?.[0] ?? key;
  const own = Object.entries(options).map(([key, value]) => [nameOf(key), value]);
  return { method, ...Object.fromEntries(own), ...settings };
}

/** The report of a run: one page that loads nothing. */
export function runReport(told: RunTold): string {
  const { model, data, curve, prompt, samples, device } = told;
  const [step, loss] = curve.at(-1) ?? [0, Number.NaN];
  const title = `${model} learns ${data}`;
  const answers = samples.map(({ step, text }) => row(`step ${step}`, text)).join("");
  const rows = Object.entries({ ...settingsOf(told), device }).map(([name, value]) => row(name, value));
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escapeHtml(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>${escapeHtml(title)}</h1>
<p>${step} steps, loss ${loss.toFixed(3)} at the end, ${(curve[0]?.[1] ?? Number.NaN).toFixed(3)} at the start.</p>
<h2>Loss by step</h2>
${curveSvg(curve)}
${samples.length > 0 ? `<h2>What it said as it learnt</h2>\n<pre>${escapeHtml(prompt)}</pre>\n<table>${answers}</table>` : ""}
<h2>Settings</h2>
<table>${rows.join("")}</table>
</main>
</body>
</html>
`;
}

const row = (name: string, value: unknown) =>
  `<tr><th scope="row">${escapeHtml(name)}</th><td>${escapeHtml(String(value))}</td></tr>`;

const [WIDTH, HEIGHT, LEFT, BOTTOM] = [640, 220, 44, 24];

/** The curve as a picture: both axes begin at 0. */
function curveSvg(curve: readonly CurvePoint[]): string {
  const steps = curve.at(-1)?.[0] ?? 1;
  const most = largest(curve.map(([, loss]) => loss)) || 1;
  const x = (step: number) => (LEFT + (step / steps) * (WIDTH - LEFT - 8)).toFixed(1);
  const y = (loss: number) => (HEIGHT - BOTTOM - (loss / most) * (HEIGHT - BOTTOM - 8)).toFixed(1);
  const points = curve
    .filter(([, loss]) => Number.isFinite(loss))
    .map(([step, loss]) => `${x(step)},${y(loss)}`);
  const text = (at: string, up: string, anchor: string, label: string) =>
    `<text x="${at}" y="${up}" text-anchor="${anchor}">${label}</text>`;
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="The loss by step">
<path d="M${LEFT} 8V${HEIGHT - BOTTOM}H${WIDTH - 8}"/>
<polyline points="${points.join(" ")}"/>
${text(String(LEFT - 6), y(0), "end", "0")}${text(String(LEFT - 6), "14", "end", most.toPrecision(2))}
${text(x(0), String(HEIGHT - 6), "middle", "0")}${text(x(steps), String(HEIGHT - 6), "end", String(steps))}
</svg>`;
}

const STYLE = `
:root { color-scheme: light dark; --ground: light-dark(#fbfbfa, #14161a); --text: light-dark(#1d1f24, #e7e9ee);
  --faint: light-dark(#5c616b, #a2a8b4); --line: light-dark(#dfe1e6, #32363f); --accent: light-dark(#2f4fc9, #9db2ff); }
body { margin: 0; background: var(--ground); color: var(--text); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 46rem; margin: 0 auto; padding: 2rem 1rem 4rem; }
h1 { font-size: 1.6rem; overflow-wrap: anywhere; } h2 { margin-top: 2rem; font-size: 1.1rem; }
svg { display: block; width: 100%; height: auto; fill: none; stroke: var(--line); }
polyline { stroke: var(--accent); stroke-width: 2; } text { fill: var(--faint); stroke: none; font-size: 12px; }
pre, td { white-space: pre-wrap; overflow-wrap: anywhere; font: .85rem/1.5 ui-monospace, monospace; }
table { width: 100%; border-collapse: collapse; }
th, td { padding: .4rem .75rem .4rem 0; border-top: 1px solid var(--line); text-align: left; vertical-align: top; }
th { color: var(--faint); font-weight: 400; white-space: nowrap; }
`;
