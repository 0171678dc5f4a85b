// Compares what we read of broken safetensors files with what Python's safetensors reads of them:
//   node build.mjs --run scripts/fuzz/safetensors-verdicts.ts PYTHON [--count 10000] [--seed 1] [--golden FILE]
// With --golden, a few hundred of the files and Python's verdicts are written for the tests.

import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { parseHeader } from "../../src/io/formats/safetensors.ts";
import { LoraError } from "../../src/util/fail.ts";
import { inputOf } from "./target.ts";
import { fileOf, safetensors } from "./targets/safetensors.ts";

/** Sorted tensors of a file, or null where it is refused. */
type Verdict = [name: string, dtype: string, shape: readonly number[]][] | null;

/** Cases of each kind in the golden file. */
const CASES = 80;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    count: { type: "string", default: "10000" },
    seed: { type: "string", default: "1" },
    golden: { type: "string" },
  },
});
const first = Number(values.seed);
const seeds = Array.from({ length: Number(values.count) }, (_, i) => first + i);
const files = seeds.map((seed) => fileOf(inputOf("safetensors", safetensors, seed)));
const pythons = askPython(positionals[0] ?? "python3");
const ours = files.map(read);

const differing = { accepted: [] as number[], refused: [] as number[], otherwise: [] as number[] };
seeds.forEach((seed, i) => {
  const [own, other] = [ours[i]?.verdict, pythons[i]];
  if (own && !other) differing.accepted.push(seed);
  else if (!own && other) differing.refused.push(seed);
  else if (JSON.stringify(own) !== JSON.stringify(other)) differing.otherwise.push(seed);
});
const both = ours.filter(({ verdict }, i) => verdict && pythons[i]).length;
console.log(
  `${files.length} files from seed ${first}: both read ${both}, alike but for ${differing.otherwise.length}`,
);
console.log(`we read, and Python refuses: ${differing.accepted.length} ${differing.accepted.slice(0, 20)}`);
console.log(`Python reads, and we refuse: ${differing.refused.length}, for these reasons:`);
const reasons = new Map<string, number[]>();
for (const seed of differing.refused) {
  const reason = ours[seed - first]?.reason ?? "";
  reasons.set(reason, [...(reasons.get(reason) ?? []), seed]);
}
for (const [reason, found] of [...reasons].sort(([, a], [, b]) => b.length - a.length))
  console.log(`  ${found.length} × ${reason} (seed ${found[0]})`);
if (values.golden !== undefined) writeGolden(values.golden);
process.exitCode = differing.accepted.length + differing.otherwise.length > 0 ? 1 : 0;

function askPython(python: string): Verdict[] {
  const frames = files.flatMap((file) => {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(file.length);
    return [length, file];
  });
  const script = "scripts/fuzz/safetensors_verdicts.py";
  const { stdout, stderr, status, error } = spawnSync(python, [script], {
    input: Buffer.concat(frames),
    maxBuffer: 2 ** 30,
  });
  if (status !== 0) throw new Error(`${python} ${script}: ${error ?? stderr.toString()}`);
  console.log(`Python's safetensors ${stderr.toString().trim()}`);
  return stdout
    .toString()
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Verdict);
}

/** What we read, or the first problem without what differs from file to file. */
function read(file: Uint8Array): { verdict: Verdict; reason: string } {
  try {
    const { tensors } = parseHeader(file, file.length, "file");
    const found = [...tensors.values()].map(({ name, dtype, shape }) => [name, dtype, shape] as const);
    return { verdict: sorted(found), reason: "" };
  } catch (error) {
    if (!(error instanceof LoraError)) throw error;
    const [head = "", listed = ""] = error.message.split("\n");
    const problem = listed.startsWith("  - ") ? listed.slice(4) : head;
    const plain = problem.replace(/"[^"]*"/g, '"…"').replace(/^.*?: (?=dtype|shape|data_offsets)/, "");
    return { verdict: null, reason: plain.replace(/\d+/g, "#").slice(0, 100) };
  }
}

/** In the order of Python's strings. */
function sorted(found: readonly (readonly [string, string, readonly number[]])[]): Verdict {
  const key = ([name]: readonly [string, ...unknown[]]) => Buffer.from(name, "utf8");
  return found
    .map((entry) => [...entry] as [string, string, readonly number[]])
    .sort((a, b) => Buffer.compare(key(a), key(b)));
}

/** Writes small files as `[bytes as Latin-1, verdict]`: read ones, refused ones that are good JSON, and other refused ones. */
function writeGolden(path: string): void {
  const small = files
    .map((file, i) => ({ file, python: pythons[i] ?? null }))
    .filter(({ file }) => file.length < 330);
  const kinds = [
    small.filter(({ python }) => python),
    small.filter(({ file, python }) => !python && isJson(file)),
    small.filter(({ file, python }) => !python && !isJson(file)),
  ];
  const cases = kinds.flatMap((kind) => kind.slice(0, CASES));
  const lines = cases.map(({ file, python }) =>
    JSON.stringify([Buffer.from(file).toString("latin1"), python]),
  );
  writeFileSync(path, `[\n${lines.join(",\n")}\n]\n`);
}

/** Whether the header is a JSON text; it may be cut where the length field is wrong. */
function isJson(file: Uint8Array): boolean {
  try {
    const length = Buffer.from(file).readUInt32LE();
    JSON.parse(Buffer.from(file.subarray(8, 8 + length)).toString());
    return true;
  } catch {
    return false;
  }
}
