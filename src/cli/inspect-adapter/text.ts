import type { AdapterFinding, AdapterReport, LayerReport } from "../../load/inspect/report.ts";
import { largest } from "../../util/arrays.ts";
import { isObject } from "../../util/json.ts";
import { alignedTable, count } from "../format.ts";
import type { PaintedLine } from "../inspect/text.ts";
import { digits, kindsOf, perCent, rangeOf, showRange } from "./kinds.ts";

const plain = (text: string): PaintedLine => [{ text }];

/** An adapter in lines; with every layer, or with kinds of layers only. */
export function describeAdapter(report: AdapterReport, everyLayer: boolean): PaintedLine[] {
  const { layers, findings, changes, base } = report;
  return [
    ...factLines(report).map(plain),
    ...(layers.length > 0 ? [plain(""), ...table(report).map(plain)] : []),
    ...(everyLayer ? [plain(""), ...layerTable(layers, base !== undefined).map(plain)] : []),
    ...(changes === true && findings.length === 0 ? [] : [plain("")]),
    ...findings.flatMap(findingLines),
  ];
}

/** A message may be a report of several lines, with the remedies in it. */
function findingLines({ level, message, help }: AdapterFinding): PaintedLine[] {
  const [first = "", ...others] = message.split("\n");
  return [
    [{ text: `${level}:`, colour: level === "error" ? "red" : "yellow" }, { text: ` ${first}` }],
    ...others.map(plain),
    ...(help === "" ? [] : [[{ text: `  → ${help}`, colour: "dim" }] as PaintedLine]),
  ];
}

function factLines(report: AdapterReport): string[] {
  const facts = factsOf(report);
  const width = largest(facts.map(([name]) => name.length));
  return facts.map(([name, value]) => `${name.padEnd(width)}  ${value}`);
}

/** What an adapter is and where it comes from. */
export function factsOf(report: AdapterReport): [name: string, value: string][] {
  const { label, type, origin, parameters, bytes, dtypes, layers, others, settings } = report;
  const { baseModel, revision, peftVersion, card } = origin;
  const formats = Object.keys(dtypes).join(", ") || "no tensors";
  const whole = others.map(({ name, shape }) => `${name} [${shape}]`);
  const shownWhole = whole.length > 6 ? [...whole.slice(0, 5), `and ${whole.length - 5} more`] : whole;
  return [
    ["adapter", label],
    ["type", `${type}${peftVersion === null ? "" : `, saved by PEFT ${peftVersion}`}`],
    ["base model", (baseModel ?? "not named") + (revision === null ? "" : ` at ${revision}`)],
    ["size", `${count(parameters)} parameters in ${formats}, ${(bytes / 1e6).toPrecision(3)} MB`],
    ...(layers.length > 0 ? [["layers", describeRanks(layers)] as [string, string]] : []),
    ...(shownWhole.length > 0 ? [["other tensors", shownWhole.join(", ")] as [string, string]] : []),
    ["settings", Object.entries(settings).map(showSetting).join(", ") || "PEFT's defaults"],
    ...(card ? [["model card", describeCard(card)] as [string, string]] : []),
  ];
}

function describeRanks(layers: readonly LayerReport[]): string {
  const range = (figure: (layer: LayerReport) => number) => showRange(rangeOf(layers, figure), digits);
  const scales = range(({ scale }) => scale);
  return `${count(layers.length)} of rank ${range(({ r }) => r)}, alpha ${range(({ alpha }) => alpha)}, scale ${scales}`;
}

function showSetting([name, value]: [string, unknown]): string {
  const text = JSON.stringify(value);
  return `${name} ${text.length > 120 ? `${text.slice(0, 117)}…` : text}`;
}

const CARD_FIELDS = ["base_model", "license", "datasets", "language", "library_name", "pipeline_tag", "tags"];

function describeCard(card: Readonly<Record<string, unknown>>): string {
  const known = CARD_FIELDS.filter((name) => card[name] !== undefined && !isObject(card[name]));
  return known.map((name) => showSetting([name, card[name]])).join(", ") || "no fields";
}

/** Columns of the tables: a heading, and what stands below it. */
type Column = readonly [
  heading: string,
  figure: (layer: LayerReport) => number | undefined,
  show: (x: number) => string,
];

/** The figures of layers; those that compare only where there is something to compare with. */
export function columnsFor(hasBase: boolean): Column[] {
  const all: (Column | false)[] = [
    ["rank", ({ r }) => r, digits],
    ["‖ΔW‖", ({ norm }) => norm, digits],
    hasBase && ["‖ΔW‖/‖W‖", ({ ratio }) => ratio, perCent],
    ["‖ΔW‖₂", ({ spectralNorm }) => spectralNorm, digits],
    ["effective rank", ({ effectiveRank }) => effectiveRank, digits],
    ["stable rank", ({ stableRank }) => stableRank, digits],
  ];
  return all.filter((column) => column !== false);
}

function table({ layers, base }: AdapterReport): string[] {
  const columns = columnsFor(base !== undefined);
  const rows = kindsOf(layers).map(({ name, layers }) => [
    name,
    String(layers.length),
    ...columns.map(([, figure, show]) => showRange(rangeOf(layers, figure), show)),
  ]);
  return alignedTable([["layers", "", ...columns.map(([heading]) => heading)], ...rows]);
}

function layerTable(layers: readonly LayerReport[], hasBase: boolean): string[] {
  const columns = columnsFor(hasBase);
  const rows = layers.map((layer) => [
    layer.path,
    ...columns.map(([, figure, show]) => {
      const value = figure(layer);
      return value === undefined ? "–" : show(value);
    }),
  ]);
  return alignedTable([["layer", ...columns.map(([heading]) => heading)], ...rows]);
}
