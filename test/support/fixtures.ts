import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { type Batch, collateRows } from "../../src/data/batch.ts";
import { readHeader } from "../../src/io/formats/safetensors.ts";
import { type Model, type OpenOptions, openModel } from "../../src/load/model.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { testDevice } from "./device.ts";

/** Folder of a committed fixture. */
export const fixturePath = (name: string) => resolve(import.meta.dirname, "../fixtures", name);

/** Folder of the model that comes with the package. */
export const BUNDLED_MODEL = resolve(import.meta.dirname, "../../models/demo");

/** Real artefacts that are lent for testing and not part of the repository. */
const SHARED = resolve(import.meta.dirname, "../../../shared/data");

/** Path of a real artefact, or undefined with the reason on the console where it is not there. */
export function sharedPath(name: string): string | undefined {
  const path = resolve(SHARED, name);
  if (existsSync(path)) return path;
  console.warn(`skipped: ${name} is not at ../shared/data`);
  return undefined;
}

/** A JSON file of a folder. */
export function readJsonFile<T>(folder: string, name: string): T {
  return JSON.parse(readFileSync(resolve(folder, name), "utf8")) as T;
}

/** Opens the model in a folder on the test device. */
export async function openTestModel(folder: string, options: OpenOptions = {}): Promise<Model> {
  return openModel(folderFiles(folder), await testDevice(), options);
}

/** All F32 tensors of a safetensors file. */
export async function readTensors(folder: string, name: string): Promise<Map<string, Float32Array>> {
  const files = folderFiles(folder);
  const { tensors } = await readHeader(files, name);
  const entries = [...tensors.values()].map(async ({ name: key, begin, end }) => {
    const bytes = await files.read(name, begin, end);
    return [key, new Float32Array(bytes.slice().buffer)] as const;
  });
  return new Map(await Promise.all(entries));
}

/** An array with its shape, as make.py writes it. */
export interface JsonTensor {
  shape: number[];
  data: number[];
}

/** golden.json of a model fixture; see test/fixtures/README.md. */
export interface Golden {
  /** PEFT's default target modules of the model type; null where it has none. */
  default_targets?: string[] | null;
  lengths: number[];
  input_ids: JsonTensor;
  labels: JsonTensor;
  label_tokens: number;
  base_loss: number;
  loss: number;
  /** The same in float64, by an independent implementation. */
  loss_f64?: number;
  /** A: full batches. B: micro-batches. C: cosine schedule, no clipping, no decay. */
  train: Partial<Record<"A" | "B" | "C", GoldenRun>>;
  generate: { prompt: number[]; tokens: number[]; base_tokens?: number[] };
}

/** Some optimiser steps by PyTorch. */
export interface GoldenRun {
  schedule: "linear" | "cosine";
  warmup_steps: number;
  max_grad_norm: number | null;
  weight_decay: number;
  peak_lr: number;
  loss: number[];
  grad_norm: number[];
  lr: number[];
  loss_after: number;
}

/** The sequences of a golden batch, without padding. */
export function goldenSequences({
  input_ids,
  labels,
  lengths,
}: Golden): { inputIds: number[]; labels: number[] }[] {
  const width = input_ids.shape[1] as number;
  return lengths.map((length, row) => {
    const cut = ({ data }: JsonTensor) => data.slice(row * width, row * width + length);
    return { inputIds: cut(input_ids), labels: cut(labels) };
  });
}

/** The golden batch as make.py gave it to PyTorch. */
export function goldenBatch(golden: Golden): Batch {
  const padToMultipleOf = golden.input_ids.shape[1] as number;
  return collateRows(
    goldenSequences(golden).map((sequence) => [sequence]),
    "next",
    { padToMultipleOf },
  );
}
