import { append } from "../../util/arrays.ts";
import { byteView, float32View, uint16View } from "../../util/bytes.ts";
import { fail, failAll, LoraError, Problems } from "../../util/fail.ts";
import { decodeBf16, decodeF16 } from "../../util/half.ts";
import { isObject, type JsonObject } from "../../util/json.ts";
import { FACTOR, isWithin } from "../../util/options.ts";
import { shown } from "../../util/shown.ts";
import { transpose } from "../../util/transpose.ts";
import { type FileSource, readObject } from "../files/files.ts";
import { pythonJson } from "../json/python-json.ts";
import { PEFT_CONFIG } from "./peft-names.ts";
import { type LoraSource, layersOf, type Matrix, type PlainLora, placeInLayers } from "./plain-lora.ts";
import { readHeader, type TensorInfo } from "./safetensors.ts";
import { writeSafetensors } from "./safetensors-writer.ts";

/** mlx-lm's names of its files; the configuration has the name of PEFT's. */
export const MLX_WEIGHTS = "adapters.safetensors";
export const MLX_CONFIG = PEFT_CONFIG;

/** What mlx-lm's `lora_parameters` say, and what they mean where they leave it out (`CONFIG_DEFAULTS` of `lora.py`). */
interface LoraParameters {
  readonly rank: number;
  /** y += scale · (x · lora_a) · lora_b. */
  readonly scale: number;
  readonly dropout: number;
}

const DEFAULTS: LoraParameters = { rank: 8, scale: 20, dropout: 0 };

/** Whether a folder holds an adapter of mlx-lm. */
export async function isMlxAdapter(files: FileSource): Promise<boolean> {
  return (await files.size(MLX_WEIGHTS)) !== undefined;
}

/**
 * Reads an adapter of mlx-lm in PEFT's terms: lora_a `[in, r]` and lora_b `[r, out]` are turned, alpha is scale · rank.
 * Source: `mlx_lm/tuner/lora.py`, `utils.py`.
 * @throws LoraError that lists every setting and tensor that is wrong, and of kind `unsupported` for what is no LoRA
 */
export async function readMlxAdapter(files: FileSource): Promise<PlainLora> {
  const where = `${files.label}/${MLX_CONFIG}`;
  const json = await readObject(files, MLX_CONFIG, "mlx-lm writes it beside the weights: copy it, too");
  refuseOtherTypes(json, where);
  const problems = new Problems();
  const parameters = readParameters(json, problems);
  const { tensors } = await readHeader(files, MLX_WEIGHTS);
  const pairs = pairTensors(tensors, parameters.rank, problems);
  failAll(
    files.label,
    problems,
    "the two files do not belong together or are damaged: take both of one adapter",
  );
  const { rank, scale, dropout } = parameters;
  const modules = await Promise.all(
    [...pairs].map(async ([path, { a, b }]) => {
      const pair = { lora_A: await readTurned(files, a), lora_B: await readTurned(files, b) };
      return [path, { ...pair, r: rank, alpha: scale * rank }] as const;
    }),
  );
  const layers = layersOf([...pairs.keys()]);
  return {
    modules: new Map(modules),
    dropout,
    base: typeof json.model === "string" ? json.model : null,
    // `num_layers` counts from the last one: an adapter of all begins at 0.
    isWhole: layers[0] === 0 && (json.num_layers === layers.length || json.num_layers === -1),
  };
}

const FUSE =
  "give it to mlx_lm.fuse (--model BASE --adapter-path FOLDER --save-path OUT), whose result is a whole model";

function refuseOtherTypes(json: JsonObject, where: string): void {
  if (json.peft_type !== undefined) {
    fail(
      where,
      `it is PEFT's configuration, beside mlx-lm's ${MLX_WEIGHTS}`,
      "keep the files of two adapters in two folders",
    );
  }
  const type = json.fine_tune_type ?? "lora";
  if (type === "lora") return;
  const what = type === "full" ? "weights that were trained whole" : "not plain LoRA";
  throw new LoraError(
    "unsupported",
    where,
    `fine_tune_type is ${shown(type)}: ${what}, which is not read here`,
    FUSE,
  );
}

function readParameters(json: JsonObject, problems: Problems): LoraParameters {
  const given = json.lora_parameters ?? {};
  if (!isObject(given)) {
    problems.push(`${MLX_CONFIG}: lora_parameters is ${shown(given)}, expected an object`);
    return DEFAULTS;
  }
  const { rank, scale, dropout } = { ...DEFAULTS, ...given } as Record<string, unknown>;
  const wrong = (name: string, value: unknown, wanted: string) =>
    problems.push(`${MLX_CONFIG}: lora_parameters.${name} is ${shown(value)}, expected ${wanted}`);
  if (!Number.isSafeInteger(rank) || Number(rank) < 1) wrong("rank", rank, "a whole number of at least 1");
  if (!isWithin(scale, FACTOR)) wrong("scale", scale, "a number");
  if (!isWithin(dropout, { min: 0, below: 1 }))
    wrong("dropout", dropout, "a number of at least 0 and below 1");
  return { rank: Number(rank), scale: Number(scale), dropout: Number(dropout) };
}

/** The two tensors of a module: lora_a `[in, r]`, lora_b `[r, out]`. */
interface Pair {
  readonly a: TensorInfo;
  readonly b: TensorInfo;
}

const FLOATS = ["F32", "F16", "BF16"];

function pairTensors(
  tensors: ReadonlyMap<string, TensorInfo>,
  rank: number,
  problems: Problems,
): Map<string, Pair> {
  const halves = { a: new Map<string, TensorInfo>(), b: new Map<string, TensorInfo>() };
  const found: string[] = [];
  for (const [name, info] of tensors) {
    const [, path = "", part] = /^(.+)\.lora_([ab])$/.exec(name) ?? [];
    if (part === "a" || part === "b") halves[part].set(path, info);
    else found.push(`${name} [${info.shape}] is no lora_a or lora_b`);
    if (!FLOATS.includes(info.dtype)) found.push(`${name} is ${info.dtype}, expected ${FLOATS.join(", ")}`);
  }
  const pairs = new Map<string, Pair>();
  for (const path of new Set([...halves.a.keys(), ...halves.b.keys()])) {
    const [a, b] = [halves.a.get(path), halves.b.get(path)];
    if (a && b) pairs.set(path, { a, b });
    append(found, a && b ? shapeProblems(path, { a, b }, rank) : [`${path} has lora_${a ? "a" : "b"} alone`]);
  }
  if (pairs.size === 0 && found.length === 0) found.push("there is no tensor of LoRA");
  problems.add(found.map((problem) => `${MLX_WEIGHTS}: ${problem}`));
  return pairs;
}

function shapeProblems(path: string, { a, b }: Pair, rank: number): string[] {
  const shapes = `${path} has lora_a [${a.shape}] and lora_b [${b.shape}]`;
  if (a.shape.length !== 2 || b.shape.length !== 2) return [`${shapes}, expected two axes each`];
  if (/(?:^|\.)embed_tokens$/.test(path)) return [`${path} is an embedding, whose LoRA is not read here`];
  if (a.shape[1] !== b.shape[0]) return [`${shapes}, which have no rank in common ([in, r] and [r, out])`];
  return a.shape[1] === rank ? [] : [`${shapes}, and lora_parameters.rank is ${rank}`];
}

async function readTurned(files: FileSource, { dtype, shape, begin, end }: TensorInfo): Promise<Matrix> {
  const [rows = 0, columns = 0] = shape;
  const bytes = (await files.read(MLX_WEIGHTS, begin, end)).slice();
  const decode = dtype === "F32" ? float32View : dtype === "F16" ? half(decodeF16) : half(decodeBf16);
  return { shape: [columns, rows], data: transpose(decode(bytes), rows, columns) };
}

const half = (decode: (codes: Uint16Array) => Float32Array) => (bytes: Uint8Array) =>
  decode(uint16View(bytes));

/**
 * The files of an adapter for mlx-lm, which gives LoRA to the named modules of the last `num_layers` layers.
 * @param numLayers layers of the base model, where they are known
 * @throws LoraError that lists what mlx-lm has no place for: ranks or scales that differ, modules outside the layers or
 * trained whole
 */
export function mlxFiles(
  { config, tensors, saved }: LoraSource,
  { label, numLayers }: { label: string; numLayers?: number },
): Map<string, Uint8Array | string> {
  const paths = [...tensors.keys()];
  const layers = layersOf(paths);
  const problems = [...writeProblems(tensors, [...saved.keys()])];
  const isNarrow = config.layers_to_transform !== null || layers[0] !== 0;
  if (numLayers === undefined && isNarrow && problems.length === 0) {
    problems.push(
      "it adapts some layers only, and mlx-lm counts them from the last: the base model's number is needed",
    );
  }
  failAll(
    label,
    problems,
    "name the base model (--model); what mlx-lm has no place for can be merged instead",
  );
  const [first] = [...tensors.values()];
  const keys = [...new Set(paths.flatMap((path) => placeInLayers(path)?.inside ?? []))];
  const entries = [...tensors].flatMap(([path, { lora_A, lora_B }]) => [
    { name: `${path}.lora_a`, ...turned(lora_A) },
    { name: `${path}.lora_b`, ...turned(lora_B) },
  ]);
  const total = numLayers ?? (layers.at(-1) ?? 0) + 1;
  const settings = {
    fine_tune_type: "lora",
    lora_parameters: { dropout: config.lora_dropout, keys, rank: first?.r ?? 0, scale: first?.scale ?? 1 },
    model: config.base_model_name_or_path,
    num_layers: total - (layers[0] ?? 0),
  };
  return new Map<string, Uint8Array | string>([
    [MLX_CONFIG, `${pythonJson(settings, (key) => key === "dropout" || key === "scale")}\n`],
    [MLX_WEIGHTS, writeSafetensors(entries, { format: "mlx" })],
  ]);
}

function* writeProblems(tensors: LoraSource["tensors"], saved: readonly string[]): Generator<string> {
  const modules = [...tensors.values()];
  const [ranks, scales] = [modules.map(({ r }) => r), modules.map(({ scale }) => scale)].map(
    (values) => new Set(values),
  ) as [Set<number>, Set<number>];
  if (ranks.size > 1) yield `modules have different ranks (${[...ranks].join(", ")}), mlx-lm has one for all`;
  if (scales.size > 1)
    yield `modules have different scales (${[...scales].join(", ")}), mlx-lm has one for all`;
  for (const path of tensors.keys()) {
    if (!/^model\.layers\.\d+\./.test(path))
      yield `${path} lies in no layer (model.layers.N) that mlx-lm adapts`;
  }
  for (const name of saved) yield `${name} was trained whole, which mlx-lm's adapters have no place for`;
}

function turned({ shape, data }: Matrix) {
  const [rows = 0, columns = 0] = shape;
  return {
    dtype: "F32" as const,
    shape: [columns, rows],
    data: byteView(transpose(data, rows, columns)),
  };
}
