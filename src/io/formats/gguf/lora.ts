import { fail, failAll, LoraError, Problems } from "../../../util/fail.ts";
import { shown } from "../../../util/shown.ts";
import type { FileSource } from "../../files/files.ts";
import { type LoraSource, type Matrix, mostCommon, type PlainLora, type PlainModule } from "../plain-lora.ts";
import {
  type GgufArchitecture,
  ggufName,
  moduleOfGguf,
  permutedHeads,
  permuteRows,
} from "./architectures.ts";
import { type BlockType, blockFormat } from "./block-formats.ts";
import { type GgufHeader, type GgufTensor, readGgufHeader } from "./header.ts";
import { readGgufTensor } from "./tensors.ts";
import { type GgufMetadata, type GgufValue, gguf } from "./values.ts";
import { ggufBytes } from "./writer.ts";

/** What has to be known of the base model. */
export interface GgufBase {
  readonly architecture: GgufArchitecture;
  readonly numHeads: number;
  readonly numKvHeads: number;
}

const SUFFIXES = { A: ".weight.lora_a", B: ".weight.lora_b" } as const;

const ONLY_LORA =
  "llama.cpp adapts linear layers alone: merge the adapter into a whole model instead (merge --gguf FILE)";

/**
 * A LoRA adapter as a GGUF file for llama.cpp: A `[r, in]` and B `[out, r]` of each layer by its names, B's rows in its
 * order. llama.cpp scales by alpha / r, with one alpha for the file: where modules differ in that, B takes it up.
 * Layout: `convert_lora_to_gguf.py` and `llama-adapter.cpp` of llama.cpp.
 * @throws LoraError that lists every module that llama.cpp cannot adapt
 */
export function ggufLora(
  { config, tensors, saved }: LoraSource,
  base: GgufBase,
  { name, type = "F32" }: { name: string; type?: BlockType },
): Uint8Array {
  const { architecture } = base;
  const unknown = [...tensors.keys()].filter((path) => ggufName(architecture, path) === undefined);
  const unusable = [...tensors.keys()].filter((path) => path === "model.embed_tokens");
  const problems = [
    ...[...unknown, ...unusable].map(
      (path) => `llama.cpp's ${architecture.name} has no linear layer for ${path}`,
    ),
    ...[...saved.keys()].map((path) => `${path} was trained whole, which a GGUF adapter has no place for`),
  ];
  failAll(name, problems, ONLY_LORA);
  const alpha = mostCommon([...tensors.values()].map(({ scale, r }) => scale * r)) ?? 1;
  const entries = [...tensors].flatMap(([path, module]) => {
    const own = ggufName(architecture, path) as string;
    const { lora_A, lora_B } = module;
    const factor = (module.scale * module.r) / alpha;
    const scaled = factor === 1 ? lora_B.data : lora_B.data.map((value) => value * factor);
    const B = inOrder({ shape: lora_B.shape, data: scaled }, own, base, "out");
    return [entryOf(own + SUFFIXES.A, lora_A, type), entryOf(own + SUFFIXES.B, B, type)];
  });
  return ggufBytes(
    adapterMetadata(architecture, alpha, { name, base: config.base_model_name_or_path }),
    entries,
  );
}

function entryOf(name: string, { shape, data }: Matrix, type: BlockType) {
  const fits = (shape.at(-1) ?? 1) % blockFormat(type).elements === 0;
  const own = fits ? type : "F32";
  const { encode } = blockFormat(own);
  return { name, type: own, shape, data: encode?.(data) ?? fail(name, `cannot be written as ${own}`) };
}

/** lora_B with its rows in llama.cpp's order, or back in that of transformers. */
function inOrder(lora_B: Matrix, name: string, base: GgufBase, direction: "out" | "in"): Matrix {
  const heads = permutedHeads(base.architecture, name, base);
  const [rows = 0] = lora_B.shape;
  if (heads === undefined) return lora_B;
  return { shape: lora_B.shape, data: permuteRows(lora_B.data, { rows, heads, direction }) };
}

const HUB = "https://huggingface.co/";

function adapterMetadata(
  { name: architecture }: GgufArchitecture,
  alpha: number,
  { name, base }: { name: string; base: string | null },
): GgufMetadata {
  const isHub = base !== null && /^[\w-][\w.-]*\/[\w.-]+$/.test(base);
  return new Map<string, GgufValue>([
    ["general.architecture", gguf.string(architecture)],
    ["general.type", gguf.string("adapter")],
    ["adapter.type", gguf.string("lora")],
    ["general.name", gguf.string(name)],
    ...(base === null
      ? []
      : ([
          ["general.base_model.count", gguf.u32(1)],
          ["general.base_model.0.name", gguf.string(base)],
          ...(isHub ? [["general.base_model.0.repo_url", gguf.string(HUB + base)]] : []),
        ] as [string, GgufValue][])),
    ["adapter.lora.alpha", gguf.f32(alpha)],
  ]);
}

const EXPORT_AGAIN =
  "export the adapter again with llama.cpp's convert_lora_to_gguf.py, or take the PEFT adapter that it was made from";

/**
 * Reads a LoRA adapter out of a GGUF file.
 * @param base of the model that the adapter is put on
 * @throws LoraError that lists every tensor that is no half of a pair, has no place in the architecture or does not fit
 */
export async function readGgufLora(files: FileSource, name: string, base: GgufBase): Promise<PlainLora> {
  const header = await readGgufHeader(files, name);
  const label = `${files.label}/${name}`;
  checkKind(header, base, label);
  const pairs = pairTensors(header, base, label);
  const stated = header.metadata.get("adapter.lora.alpha")?.value;
  const modules = new Map<string, PlainModule>();
  for (const [own, { A, B }] of pairs) {
    const lora_A = { shape: A.shape, data: await readGgufTensor(files, name, A) };
    const lora_B = { shape: B.shape, data: await readGgufTensor(files, name, B) };
    const r = A.shape[0] ?? 0;
    // Without an alpha llama.cpp scales by 1, whatever the rank.
    const alpha = typeof stated === "number" && stated !== 0 ? stated : r;
    const path = moduleOfGguf(base.architecture, own) as string;
    modules.set(path, { lora_A, lora_B: inOrder(lora_B, own, base, "in"), r, alpha });
  }
  return { modules, dropout: 0, base: ggufBaseName(header), isWhole: false };
}

function checkKind({ metadata }: GgufHeader, { architecture }: GgufBase, label: string): void {
  const text = (key: string) => shown(metadata.get(key)?.value);
  const problems: string[] = [];
  const wanted: readonly (readonly [string, string])[] = [
    ["general.type", "adapter"],
    ["adapter.type", "lora"],
  ];
  for (const [key, value] of wanted) {
    if (metadata.get(key)?.value !== value)
      problems.push(`${key} is ${text(key)}, expected ${JSON.stringify(value)}`);
  }
  failAll(label, problems, "give a LoRA adapter; a whole model in GGUF is no adapter");
  const found = metadata.get("general.architecture")?.value;
  if (found !== architecture.name) {
    fail(
      label,
      `it is for the architecture ${shown(found)}, and the model's is ${architecture.name}`,
      "take the adapter of this model",
    );
  }
  if (metadata.has("adapter.alora.invocation_tokens")) {
    const got = "it is an activated LoRA (adapter.alora.invocation_tokens), which is not supported";
    throw new LoraError("unsupported", label, got, "take an adapter that is always active");
  }
}

/** The two tensors of a module. */
interface Pair {
  readonly A: GgufTensor;
  readonly B: GgufTensor;
}

function pairTensors({ tensors }: GgufHeader, base: GgufBase, label: string): Map<string, Pair> {
  const halves = { A: new Map<string, GgufTensor>(), B: new Map<string, GgufTensor>() };
  const problems = new Problems();
  for (const [name, tensor] of tensors) {
    const part = name.endsWith(SUFFIXES.A) ? "A" : name.endsWith(SUFFIXES.B) ? "B" : undefined;
    if (part === undefined) problems.push(`${name} [${tensor.shape}] is no half of a LoRA pair`);
    else halves[part].set(name.slice(0, -SUFFIXES[part].length), tensor);
  }
  const owns = new Set([...halves.A.keys(), ...halves.B.keys()]);
  const pairs = new Map<string, Pair>();
  for (const own of owns) {
    const [A, B] = [halves.A.get(own), halves.B.get(own)];
    const problem = A && B ? pairProblem(own, { A, B }, base) : `${own} has lora_${A ? "a" : "b"} alone`;
    if (problem !== undefined) problems.push(problem);
    if (A && B) pairs.set(own, { A, B });
  }
  if (owns.size === 0 && problems.length === 0) problems.push("it holds no tensor of LoRA");
  failAll(label, problems, EXPORT_AGAIN);
  return pairs;
}

function pairProblem(own: string, { A, B }: Pair, base: GgufBase): string | undefined {
  const shapes = `lora_a [${A.shape}], lora_b [${B.shape}]`;
  const isMatrix = A.shape.length === 2 && B.shape.length === 2;
  if (!isMatrix || A.shape[0] !== B.shape[1] || A.shape[0] === 0) {
    return `${own}: ${shapes} have no rank in common ([r, in] and [out, r])`;
  }
  const path = moduleOfGguf(base.architecture, own);
  if (path === undefined || path === "model.embed_tokens") {
    return `${own} (${shapes}) is no linear layer of ${base.architecture.name}`;
  }
  const heads = permutedHeads(base.architecture, own, base);
  const rows = B.shape[0] ?? 0;
  if (heads === undefined || rows % (2 * heads) === 0) return undefined;
  return `${own}: ${rows} rows cannot be shared among the model's ${heads} heads`;
}

/** The base model that an adapter names. */
export function ggufBaseName({ metadata }: GgufHeader): string | null {
  const url = metadata.get("general.base_model.0.repo_url")?.value;
  if (typeof url === "string" && url.startsWith(HUB)) return url.slice(HUB.length);
  const name = metadata.get("general.base_model.0.name")?.value;
  return typeof name === "string" ? name : null;
}
