import { csvRows } from "../../../src/data/rows/csv.ts";
import { EXAMPLE_READER } from "../../../src/data/rows/examples.ts";
import { jsonRows } from "../../../src/data/rows/json-lines.ts";
import {
  labelledTextReader,
  PAIRED_TEXTS_READER,
  TAGGED_WORDS_READER,
  TEXT_READER,
} from "../../../src/data/rows/labelled.ts";
import { collectRows, type RowReader } from "../../../src/data/rows/rows.ts";
import { decodeText } from "../../../src/io/files/text.ts";
import type { JsonObject } from "../../../src/util/json.ts";
import { splitLines } from "../../../src/util/lines.ts";
import type { Random } from "../../../src/util/random.ts";
import { textOf, treeOf } from "../json-tree.ts";
import { mutateJson } from "../mutate-json.ts";
import { bytesOf, mutateText } from "../mutate-text.ts";
import { ensure, type InputFiles, type Target } from "../target.ts";

const user = (content: string) => ({ role: "user", content });

/** What each task takes from a row, and a row that has it. */
const KINDS: readonly (readonly [reader: () => RowReader<object>, row: JsonObject])[] = [
  [() => EXAMPLE_READER, { text: "a, b" }],
  [() => EXAMPLE_READER, { prompt: 'a "b"\n', completion: "c" }],
  [labelledTextReader, { text: "a;b", label: "x" }],
  [labelledTextReader, { text: "é", text_pair: "\u{1f600}", label: 1 }],
  [() => PAIRED_TEXTS_READER, { anchor: "a\tb", positive: "" }],
  [() => TEXT_READER, { text: "", meta: { a: [1, null] } }],
  [() => TAGGED_WORDS_READER, { tokens: ["a", "b"], tags: ["O", "B"] }],
  [
    () => EXAMPLE_READER,
    { messages: [user("a"), { role: "assistant", content: "b", train: false }], tools: [{ name: "f" }] },
  ],
  [
    () => EXAMPLE_READER,
    { prompt: [user("a")], completion: [{ role: "assistant", content: null, tool_calls: [{ id: "1" }] }] },
  ],
];

/** The first kinds are for tables of cells, too, which hold no lists. */
const CELL_KINDS = 6;

/** Takes each row as it is, to compare it. */
const WHOLE: RowReader<JsonObject> = { wanted: "anything", read: (values) => ({ ...values }) };

/** Reads a table of bytes as the command line reads a file. */
function readAs<T extends object>(name: string, bytes: Uint8Array, reader: RowReader<T>): T[] {
  const lines = splitLines(decodeText(bytes, name));
  const delimiter = name.endsWith(".tsv") ? "\t" : ",";
  const rows = name.endsWith(".jsonl") ? jsonRows(lines, name) : csvRows(lines, name, delimiter);
  return collectRows(rows, name, reader);
}

function input(name: string, kind: number, bytes: Uint8Array): InputFiles {
  return new Map([
    [name, bytes],
    ["kind", Uint8Array.of(kind)],
  ]);
}

function kindOf(files: InputFiles) {
  return KINDS[(files.get("kind") ?? [])[0] ?? 0] as (typeof KINDS)[number];
}

/** JSON objects one after another: each is the shortest text that JSON.parse takes. */
function objectsOf(text: string): unknown[] {
  const objects: unknown[] = [];
  const skipBlanks = (rest: string) => rest.replace(/^[ \t\r\n]+/, "");
  for (let rest = skipBlanks(text); rest !== ""; ) {
    const ends = [...rest.matchAll(/\}/g)].map(({ index }) => index + 1);
    const end = ends.find((end) => isJson(rest.slice(0, end))) ?? rest.length;
    objects.push(JSON.parse(rest.slice(0, end)));
    rest = skipBlanks(rest.slice(end));
  }
  return objects;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** JSON Lines for every task: rows are those of JSON.parse, of one list or of objects one after another. */
export const jsonl: Target = {
  make(random) {
    const kind = random.integer(KINDS.length);
    const tree = treeOf(KINDS[kind]?.[1]);
    const line = () => (random.integer(3) === 0 ? textOf(mutateJson(tree, random)) : textOf(tree));
    const ends = ["\n", "\n", "\r\n", "\r", "\n\n", " \n", "\t\r\n"];
    const lines = Array.from({ length: 1 + random.integer(4) }, () => line() + random.pick(ends)).join("");
    const text =
      (random.integer(8) === 0 ? "\ufeff" : "") +
      (random.integer(4) === 0 ? mutateText(lines, random) : lines);
    return input("data.jsonl", kind, bytesOf(text, random));
  },
  read(files) {
    const bytes = files.get("data.jsonl") as Uint8Array;
    const [reader] = kindOf(files);
    const items = readAs("data.jsonl", bytes, reader());
    const rows = readAs("data.jsonl", bytes, WHOLE);
    const text = new TextDecoder().decode(bytes); // without a byte-order mark
    const parsed = text.trim().startsWith("[") ? JSON.parse(text) : objectsOf(text);
    ensure(
      JSON.stringify(rows) === JSON.stringify(parsed),
      () => `${JSON.stringify(rows)}, and JSON.parse has ${JSON.stringify(parsed)}`,
    );
    ensure(items.length === rows.length, () => `${items.length} items of ${rows.length} rows`);
  },
};

const QUOTED = (cell: string) => `"${cell.replaceAll('"', '""')}"`;

/** Tables of cells: written again in quotation marks, rows read the same. */
export const csv: Target = {
  make(random) {
    const kind = random.integer(CELL_KINDS);
    const row = KINDS[kind]?.[1] ?? {};
    const delimiter = random.pick([",", ",", "\t", ";", "|"]);
    const cells = (values: readonly unknown[]) => {
      const texts = values.map((value) => (typeof value === "object" ? "x" : String(value)));
      return texts
        .map((cell) => (random.integer(2) === 0 ? QUOTED(cell) : cell.replace(/[\n"]/g, "")))
        .join(delimiter);
    };
    const end = random.pick(["\n", "\r\n", "\r"]);
    const body = Array.from({ length: 1 + random.integer(4) }, () => cells(Object.values(row)));
    const text = [cells(Object.keys(row)), ...body].join(end) + random.pick([end, ""]);
    return input(delimiter === "\t" ? "data.tsv" : "data.csv", kind, bytesOf(broken(text, random), random));
  },
  read(files) {
    const name = files.has("data.tsv") ? "data.tsv" : "data.csv";
    const bytes = files.get(name) as Uint8Array;
    const [reader] = kindOf(files);
    const items = readAs(name, bytes, reader());
    const rows = readAs(name, bytes, WHOLE);
    ensure(items.length === rows.length, () => `${items.length} items of ${rows.length} rows`);
    const columns = Object.keys(rows[0] ?? {});
    const lines = [columns, ...rows.map((row) => columns.map((column) => String(row[column])))];
    const text = lines.map((cells) => cells.map(QUOTED).join(",")).join("\n");
    const again = readAs("again.csv", new TextEncoder().encode(`${text}\n`), WHOLE);
    ensure(
      JSON.stringify(again) === JSON.stringify(rows),
      () => `${JSON.stringify(rows)} are written and read as ${JSON.stringify(again)}`,
    );
  },
};

function broken(text: string, random: Random): string {
  return random.integer(4) === 0 ? text : mutateText(text, random);
}
