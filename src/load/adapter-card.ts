import type { AnyKind } from "../adapters/codec.ts";
import type { PeftConfig } from "../adapters/config-fields.ts";
import type { Adaptable } from "../adapters/method.ts";
import { listOf, objectOf, type Rules } from "../util/options.ts";
import { printable } from "../util/printable.ts";

/** Where PEFT and the hub look for a model card. */
export const MODEL_CARD = "README.md";

/** Stands in each card that is written here: one without it is somebody's own, and stays. */
export const CARD_MARK =
  "<!-- webgpu-lora writes this page anew where it saves an adapter here. Take this line out, and the page stays. -->";

/** A data set, as a card tells of it. */
export interface CardData {
  /** What it is called. */
  readonly name: string;
  /** What became of its rows, by words: `{ rows: 120, "tokens trained": 4000 }`. */
  readonly counts: Readonly<Record<string, number>>;
}

/** Losses after a step. */
export interface CardLoss {
  /** From 1; 0 is before the first. */
  readonly step: number;
  /** Mean loss of training since the row before, nats. */
  readonly train?: number | undefined;
  /** Mean loss of an evaluation after the step, nats. */
  readonly evaluation?: number | undefined;
  /** What else was measured then, such as `accuracy 0.912`. */
  readonly summary?: string | undefined;
}

/** What a model card tells of a training, beside what the adapter itself says. */
export interface CardNotes {
  /** What the training was set to, by name. */
  settings?: Readonly<Record<string, unknown>> | undefined;
  /** What was learnt from, and what it was judged by. */
  data?: readonly CardData[] | undefined;
  /** In the order of steps. */
  losses?: readonly CardLoss[] | undefined;
  /** Digests of what others may want to compare, by what they are of. */
  digests?: Readonly<Record<string, string>> | undefined;
  /** Versions of programs, and the device. */
  versions?: Readonly<Record<string, string>> | undefined;
}

const has = (key: string) => (value: object) => key in value;

/** What the notes have to be. */
export const CARD_RULES: Rules<CardNotes> = {
  settings: objectOf("an object of settings", () => true),
  data: listOf(objectOf("a data set with name and counts", has("counts")), "a list of { name, counts }"),
  losses: listOf(objectOf("losses after a step", has("step")), "a list of { step, train, evaluation }"),
  digests: objectOf("an object of digests", () => true),
  versions: objectOf("an object of versions", () => true),
};

/** What transformers and the hub call a task. */
const TASKS: Readonly<Record<string, { readonly auto: string; readonly pipeline: string }>> = {
  "causal-lm": { auto: "AutoModelForCausalLM", pipeline: "text-generation" },
  "masked-lm": { auto: "AutoModelForMaskedLM", pipeline: "fill-mask" },
  "sequence-classification": { auto: "AutoModelForSequenceClassification", pipeline: "text-classification" },
  "token-classification": { auto: "AutoModelForTokenClassification", pipeline: "token-classification" },
  "sentence-embedding": { auto: "AutoModel", pipeline: "sentence-similarity" },
  "image-classification": { auto: "AutoModelForImageClassification", pipeline: "image-classification" },
};

/**
 * The model card of an adapter, `README.md`: at its head the fields that PEFT's have, by which the hub finds its base model;
 * below what it is, how it is loaded, and how it was trained as far as that is known. It tells no path and no time: the same
 * run gives the same bytes.
 * @param config as it is written beside it
 */
export function adapterCard(
  { codec, type }: AnyKind,
  config: PeftConfig,
  { task = "", labels, hub }: Pick<Adaptable, "task" | "labels" | "hub">,
  notes: CardNotes = {},
): string {
  const base = baseOf(config, hub);
  const { losses = [], data = [], digests = {}, versions = {} } = notes;
  const parts = [
    head(codec, base, [type, task]),
    CARD_MARK,
    `# ${nameOf(type)} adapter for ${base.shown}`,
    `${kindOf(codec, type)} for ${base.link}, trained with webgpu-lora.`,
    labels && `It tells apart ${labels.length} classes: ${labels.map(cell).join(", ")}.`,
    section("How to load it", usage(codec, base, task, labels)),
    section("The adapter", table(["field", "value"], Object.entries(ownFields(codec, config)))),
    section("Training settings", table(["setting", "value"], Object.entries(notes.settings ?? {}))),
    section("Data", data.map(describeData).join("\n")),
    section("Losses", lossTable(losses)),
    section("Digests", table(["of", "digest"], Object.entries(digests))),
    section("Versions", versionList({ ...versions, ...formatOf(codec, config) })),
  ];
  return `${parts.filter(Boolean).join("\n\n")}\n`;
}

const nameOf = (type: string) => (type === "LORA" ? "LoRA" : type === "BOTTLENECK" ? "Bottleneck" : type);

type AnyCodec = AnyKind["codec"];

const kindOf = ({ layout }: AnyCodec, type: string) =>
  layout
    ? "An adapter in the format of [AdapterHub](https://docs.adapterhub.ml)"
    : `An adapter of [PEFT](https://huggingface.co/docs/peft)'s type ${type}`;

const formatOf = ({ layout }: AnyCodec, { peft_version }: PeftConfig): Record<string, string> =>
  layout ? {} : { "format of PEFT": peft_version ?? "" };

/** The base model as an adapter names it. */
interface Base {
  /** The id of its repository; undefined where it is a folder or an address. */
  readonly id: string | undefined;
  readonly revision: string | undefined;
  /** What people call it: never the path of a folder. */
  readonly shown: string;
  readonly link: string;
}

/** Only what came from the hub is said to be there: `models/demo` is a folder as well as it may be an id. */
function baseOf({ base_model_name_or_path: name, revision }: PeftConfig, hub: Adaptable["hub"]): Base {
  if (hub) {
    const { repo } = hub;
    const at = typeof revision === "string" ? revision : undefined;
    const link = `[${repo}](https://huggingface.co/${repo})${at === undefined ? "" : ` at revision \`${at}\``}`;
    return { id: repo, revision: at, shown: repo, link };
  }
  const shown = cell((name ?? "").split(/[\\/]/).findLast(Boolean) ?? "a model without a name");
  return { id: undefined, revision: undefined, shown, link: shown };
}

function head({ layout }: AnyCodec, { id }: Base, [type, task]: readonly [string, string]): string {
  const base = id === undefined ? [] : [`base_model:adapter:${id}`];
  const library = layout ? "adapter-transformers" : "peft";
  const tags = [...base, ...(layout ? [library] : []), type.toLowerCase(), "webgpu-lora"];
  const pipeline = TASKS[task]?.pipeline;
  return [
    "---",
    ...(id === undefined ? [] : [`base_model: ${id}`]),
    `library_name: ${library}`,
    ...(pipeline === undefined ? [] : [`pipeline_tag: ${pipeline}`]),
    "tags:",
    ...[...tags, "transformers"].map((tag) => `- ${tag}`),
    "---",
  ].join("\n");
}

function usage(
  { layout }: AnyCodec,
  { id, revision }: Base,
  task: string,
  labels: readonly string[] | undefined,
): string {
  const auto = TASKS[task]?.auto ?? "AutoModel";
  const shown = JSON.stringify(id ?? "path/to/the/base/model");
  const more = [
    ...(revision === undefined ? [] : [`revision=${JSON.stringify(revision)}`]),
    ...(labels === undefined ? [] : [`num_labels=${labels.length}`]),
  ];
  const at = revision === undefined ? "" : ` --revision ${revision}`;
  const command = `npx webgpu-lora generate --model ${id ?? "path/to/the/base/model"}${at} --adapter this-folder --prompt "…"`;
  const base = `${auto}.from_pretrained(${[shown, ...more].join(", ")})`;
  const inPeft = [
    "from peft import PeftModel",
    "",
    `base = ${base}`,
    'model = PeftModel.from_pretrained(base, "this-folder")',
  ];
  const inAdapters = [
    "import adapters",
    "",
    `model = ${base}`,
    "adapters.init(model)",
    'model.set_active_adapters(model.load_adapter("this-folder", use_safetensors=True))',
  ];
  return [
    "```python",
    `from transformers import ${auto}`,
    ...(layout ? inAdapters : inPeft),
    "```",
    ...(task === "causal-lm" ? ["", "```sh", command, "```"] : []),
  ].join("\n");
}

/** Told elsewhere, or nobody's concern. */
const NOT_SHOWN = [
  ...["base_model_name_or_path", "revision", "peft_version", "inference_mode", "auto_mapping", "task_type"],
];
/** Told even where it is PEFT's default. */
const ALWAYS = ["peft_type", "r", "lora_alpha", "alpha", "target_modules"];

/** The fields that differ from PEFT's defaults. */
function ownFields({ fields, layout }: AnyCodec, config: PeftConfig): Record<string, unknown> {
  const defaults = fields as Readonly<Record<string, readonly [unknown, ...unknown[]]>>;
  const isUsual = (name: string, value: unknown) =>
    JSON.stringify(value ?? null) === JSON.stringify(defaults[name]?.[0] ?? null);
  return Object.fromEntries(
    Object.entries(config).filter(
      ([name, value]) =>
        !NOT_SHOWN.includes(name) &&
        !(layout && name === "peft_type") &&
        (ALWAYS.includes(name) || !isUsual(name, value)),
    ),
  );
}

function describeData({ name, counts }: CardData): string {
  const told = Object.entries(counts).map(([what, n]) => `${n.toLocaleString("en-US")} ${cell(what)}`);
  return `- ${cell(name)}${told.length > 0 ? `: ${told.join(", ")}` : ""}`;
}

function lossTable(losses: readonly CardLoss[]): string {
  const shown = (loss: number | undefined) => (loss === undefined ? "" : loss.toFixed(4));
  const rows = losses.map(({ step, train, evaluation, summary = "" }) => {
    return [String(step), shown(train), shown(evaluation), summary] as const;
  });
  return table(["step", "training loss", "evaluation loss", ""], rows);
}

function versionList(versions: Readonly<Record<string, string>>): string {
  return Object.entries(versions)
    .filter(([, version]) => version !== "")
    .map(([name, version]) => `- ${cell(name)}: ${cell(version)}`)
    .join("\n");
}

const section = (title: string, body: string) => (body === "" ? "" : `## ${title}\n\n${body}`);

/** A table; columns without anything are left out. */
function table(names: readonly string[], rows: readonly (readonly unknown[])[]): string {
  if (rows.length === 0) return "";
  const written = rows.map((row) =>
    row.map((value) => cell(typeof value === "string" ? value : JSON.stringify(value))),
  );
  const kept = names.map((_, i) => i).filter((i) => written.some((row) => row[i] !== ""));
  const line = (cells: readonly string[]) => `| ${kept.map((i) => cells[i] ?? "").join(" | ")} |`;
  return [line(names), line(names.map(() => "---")), ...written.map(line)].join("\n");
}

/** Text as it stands in a line of Markdown, whoever wrote it. */
function cell(text: string): string {
  return printable(text).replace(/[\\`*<>[\]|]/g, "\\$&");
}
