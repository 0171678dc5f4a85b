import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { writeSafetensors } from "../../src/io/formats/safetensors-writer.ts";
import { fixturePath, readJsonFile } from "../support/fixtures.ts";
import {
  baseFiles,
  digestOf,
  type Files,
  MERGED_CASES,
  mergedLogits,
  type Written,
  writeCase,
} from "../support/merged-cases.ts";

/** What transformers and PEFT said of what was written, of one fixture; see check_merged.py. */
interface Verdict {
  task: string;
  digest: string;
  warnings: string[];
  merged_logits: number;
  adapter_logits: number;
  merged_weights: number;
}

/** Where to write the folders for check_merged.py; else nothing is written. */
const OUT = process.env.MERGED_FOLDERS;

const { cases } = readJsonFile<{ cases: Record<string, Verdict> }>(fixturePath("."), "merged-verdict.json");

// The files that are written now are those that transformers and PEFT opened without a warning.
describe.each(MERGED_CASES)("$name", (merging) => {
  test("its adapter and its merged model were opened by PEFT and transformers", async () => {
    const { name, fixture, head } = merging;
    const base = await baseFiles(merging);
    const written = await writeCase(merging, base);
    const digest = await digestOf(written);
    const about = { name, fixture, task: written.task, num_labels: head?.labels?.length, digest };
    if (OUT) {
      const logits = { adapter: written.logits, merged: await mergedLogits(written, merging) };
      return save(join(OUT, name), { base, written, about, logits });
    }
    const verdict = cases[name];
    const remedy = "the files are others than the verdict was given for: see check_merged.py";
    expect(verdict?.digest, remedy).toBe(digest);
    expect(verdict?.warnings).toEqual([]);
    expect(verdict?.merged_logits).toBeLessThan(1e-4);
    expect(verdict?.adapter_logits).toBeLessThan(1e-4);
    expect(verdict?.merged_weights).toBeLessThan(1e-2);
  });
});

interface Saved {
  readonly base: Files;
  readonly written: Written;
  readonly about: object;
  readonly logits: Readonly<Record<string, Float32Array>>;
}

function save(folder: string, { base, written, about, logits }: Saved): void {
  const tensors = Object.entries(logits).map(([name, values]) => ({
    ...{ name, dtype: "F32" as const, shape: [values.length] },
    data: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
  }));
  const beside = new Map<string, Uint8Array>([
    ["logits.safetensors", writeSafetensors(tensors)],
    ["case.json", new TextEncoder().encode(JSON.stringify(about))],
  ]);
  for (const [name, files] of Object.entries({
    base,
    adapter: written.adapter,
    merged: written.merged,
    ".": beside,
  })) {
    for (const [file, bytes] of files) {
      const path = join(folder, name, file);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, bytes);
    }
  }
}
