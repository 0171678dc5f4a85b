// Makes the table of docs/memory.md: what training takes, by the plan, for models of 0.1 to 8 billion parameters.
//   node build.mjs --run scripts/memory/table.ts [--write]     --write puts it into the page
// Of the models there are the configs alone, with their shapes; see scripts/memory/models.
import { readFileSync, writeFileSync } from "node:fs";
import type { QUANTIZATIONS } from "../../src/load/quantization.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { type PlanOptions, planFiles } from "../../src/train/plan/plan-training.ts";

const PAGE = "docs/memory.md";
const [BEGIN, END] = ["<!-- table: scripts/memory/table.ts -->", "<!-- end of the table -->"];

const MODELS = [
  ...["SmolLM2-135M", "SmolLM2-360M", "Qwen2.5-0.5B", "Llama-3.2-1B", "Qwen2.5-1.5B"],
  ...["Llama-3.2-3B", "Qwen2.5-7B", "Llama-3.1-8B"],
];
const FORMATS = [undefined, "int8", "nf4"] as const satisfies readonly (
  | (typeof QUANTIZATIONS)[number]
  | undefined
)[];
const LENGTHS = [512, 1024, 2048, 4096];

const gigabytes = (bytes: number) => (bytes / 1e9).toFixed(bytes < 10e9 ? 2 : 1);

async function total(folder: string, options: PlanOptions): Promise<number> {
  return (await planFiles(folderFiles(folder), { ...options, search: false })).use.total;
}

async function row(model: string, quantization: (typeof FORMATS)[number]): Promise<string> {
  const folder = `scripts/memory/models/${model}`;
  const given = quantization && { quantization };
  const cells = [await total(folder, { ...given })];
  for (const maxLength of LENGTHS) {
    cells.push(await total(folder, { ...given, maxLength, batchSize: 1, gradientCheckpointing: true }));
  }
  const flags = quantization ? ` --quantization ${quantization}` : "";
  const columns = [model, quantization ?? "bf16", ...cells.map(gigabytes), `\`--model $M/${model}${flags}\``];
  return `| ${columns.join(" | ")} |`;
}

const head = [
  `| model | base | batch 4, 1024 tokens | ${LENGTHS.map((length) => `1 × ${length}`).join(" | ")} | the row's flags |`,
  `|---|---|${"---|".repeat(LENGTHS.length + 2)}`,
];
const rows: string[] = [];
for (const model of MODELS) for (const format of FORMATS) rows.push(await row(model, format));
const table = [...head, ...rows].join("\n");
if (process.argv.includes("--write")) {
  const page = readFileSync(PAGE, "utf8");
  const [first, last] = [page.indexOf(BEGIN) + BEGIN.length, page.indexOf(END)];
  writeFileSync(PAGE, `${page.slice(0, first)}\n\n${table}\n\n${page.slice(last)}`);
} else console.log(table);
