import { type Adapter, attach } from "../../adapters/adapter.ts";
import { type Part, svdOfSum } from "../../adapters/combine/low-rank.ts";
import { beginning, denseWeight } from "../../adapters/lora/initial/from-weights.ts";
import type { Factors } from "../../adapters/lora/initial/lora-start.ts";
import { startLora } from "../../adapters/lora/initial/start-lora.ts";
import { isLora, type Lora, lora } from "../../adapters/lora/lora.ts";
import { MERGE } from "../../adapters/remedies.ts";
import type { Tensor } from "../../gpu/tensor.ts";
import { type FileContent, type FileSource, readObject, requireFiles } from "../../io/files/files.ts";
import { PEFT_CONFIG } from "../../io/formats/peft-names.ts";
import { readChatTemplates } from "../../io/tokenizer/chat-templates.ts";
import { isLinear, type Linear } from "../../nn/linear.ts";
import { requireModel } from "../../nn/module.ts";
import { fail } from "../../util/fail.ts";
import type { Dense } from "../../util/linalg/dense.ts";
import { norm } from "../../util/linalg/matrix.ts";
import { callback, checkOptions, type Rules } from "../../util/options.ts";
import { createRandom, type Random } from "../../util/random.ts";
import { shown } from "../../util/shown.ts";
import { adapterFiles, loadAdapter } from "../adapter.ts";
import type { LoadedModel } from "../model.ts";

// PiSSA and OLoRA as PEFT saves them unless it is told to convert: lora_A and lora_B began as a part of the weight, and
// belong to a base model without that part.

/** The starts that follow from the weight alone. */
export type WeightStart = "pissa" | "olora";

/** Options of {@link convertStart}. */
export interface ConvertStartOptions {
  /** Called with what deserves attention but is no error, one line at a time. */
  onWarning?: ((warning: string) => void) | undefined;
}

/** What {@link convertStart} gives. */
export interface ConvertedStart {
  /** The files of an adapter of plain LoRA, of twice the rank, on the model as it is. */
  readonly files: Map<string, FileContent>;
  /** Its layers: the rank, and how far the change may be from the adapter's, beside that one's norm. */
  readonly layers: readonly { readonly path: string; readonly r: number; readonly error: number }[];
}

const RULES: Rules<ConvertStartOptions> = { onWarning: callback() };

/** A decomposition in f32, as PEFT's, is one of a weight whose entries are off by this share of its largest singular value. */
const ROUNDING = 8 * 2 ** -23;

/** How an adapter of PEFT began, where that was taken out of its base model and can be computed again. */
export async function weightStartOf(files: FileSource): Promise<WeightStart | undefined> {
  if ((await files.size(PEFT_CONFIG)) === undefined) return undefined;
  const { peft_type, init_lora_weights: init } = await readObject(files, PEFT_CONFIG);
  if (peft_type !== "LORA" || typeof init !== "string") return undefined;
  // PEFT takes OLoRA's name in any case, and PiSSA's as it is.
  return init === "pissa" ? init : init.toLowerCase() === "olora" ? "olora" : undefined;
}

/**
 * Plain LoRA of an adapter that began as PiSSA or OLoRA and was saved as it was trained, on a base model without its
 * beginning: A' = [A; A₀] and B' = [B, −B₀], PEFT's `path_initial_model_for_weight_conversion`. The beginning is computed
 * from the model's weights again; of B₀ A₀, signs of singular vectors cancel out.
 *
 * How near that comes to PEFT's own beginning is estimated, rather too large than too small: the beginning is computed once
 * more, from weights that are off by what decomposing in f32 costs, and the difference stands beside the norm of what was trained, s (B A − B₀ A₀). It is large where
 * singular values lie close together, and where little was trained.
 * @param model in full precision, as the adapter was begun on
 * @param files the adapter, as PEFT saved it
 * @throws LoraError where the adapter began in another way, and as `loadAdapter` does
 */
export async function convertStart(
  model: LoadedModel,
  files: FileSource,
  options: ConvertStartOptions = {},
): Promise<ConvertedStart> {
  requireModel("convertStart", model);
  requireFiles("convertStart", files);
  checkOptions("convertStart", options, RULES);
  const start = await weightStartOf(files);
  if (!start) {
    const config = await readObject(files, PEFT_CONFIG);
    const got = `init_lora_weights is ${shown(config.init_lora_weights)}, wanted pissa or olora`;
    return fail(files.label, got, "load it as it is: where it cannot be, the message names the remedy");
  }
  const bare = Object.assign({}, model, model.withAdapters([]));
  const read = await loadAdapter(bare, await withPlainStart(files), options);
  try {
    const method = await begunAnew(model, read, start);
    const made = attach(Object.assign({}, model, model.withAdapters([])), method);
    try {
      await copyTensors(read, made);
      const layers = await estimate(made, options);
      const chatTemplate = (await readChatTemplates(files)).get("default")?.source;
      const written = await adapterFiles(made, chatTemplate === undefined ? {} : { chatTemplate });
      return { files: written, layers };
    } finally {
      made.release();
    }
  } finally {
    read.release();
  }
}

/** The files with a configuration that says nothing of the start. */
async function withPlainStart(files: FileSource): Promise<FileSource> {
  const config = { ...(await readObject(files, PEFT_CONFIG)), init_lora_weights: true };
  const bytes = new TextEncoder().encode(JSON.stringify(config));
  return {
    ...files,
    size: async (name) => (name === PEFT_CONFIG ? bytes.length : files.size(name)),
    read: async (name, begin, end) =>
      name === PEFT_CONFIG ? bytes.slice(begin, end) : files.read(name, begin, end),
  };
}

/** LoRA with the options of an adapter that was read, and the start that it really had. */
async function begunAnew(model: LoadedModel, { method }: Adapter, start: WeightStart): Promise<Lora> {
  if (!isLora(method)) return fail("convertStart", `${method.type} is no LoRA`);
  const { options, saved } = method;
  if (options.useDora)
    fail("convertStart", `init_lora_weights is ${start}, and use_dora splits the weight without it`, MERGE);
  return startLora(model, { ...lora({ ...options, initWeights: start }), ...(saved && { saved }) });
}

/** Gives an adapter the trained values of another that has the same modules. */
async function copyTensors(from: Adapter, to: Adapter): Promise<void> {
  const trained = new Map(from.parameters.entries.map(({ name, tensor }) => [name, tensor]));
  for (const { name, tensor } of to.parameters.entries) {
    const values = trained.get(name) ?? fail("convertStart", `${name} was not read`);
    tensor.write(await values.read());
  }
}

/** How far each layer's change may be from PEFT's. */
async function estimate({ sites, method }: Adapter<Lora>, { onWarning }: ConvertStartOptions) {
  const random = createRandom(0);
  const layers: { path: string; r: number; error: number }[] = [];
  let strangers = 0;
  for (const { module, tensors } of sites) {
    const { lora_A, lora_B, initial_A, initial_B } = tensors;
    if (!isLinear(module) || !lora_A || !lora_B || !initial_A || !initial_B) continue;
    const [trained, begun] = [await readPart(lora_A, lora_B, 1), await readPart(initial_A, initial_B, -1)];
    const largest = Math.abs(method.scaleOf(module.path)) * (svdOfSum([begun]).S[0] ?? 0);
    const near = shaken(await denseWeight(module), ROUNDING * largest, random);
    const again = beginning(module, near, method, random);
    const change = normOf([trained, begun]);
    const error = normOf([begun, partOf(module, again, 1)]);
    if (change > normOf([begun])) strangers++;
    layers.push({ path: module.path, r: 2 * begun.change.r, error: error / (change || 1) });
  }
  if (2 * strangers > layers.length) {
    onWarning?.(
      `${strangers} of ${layers.length} layers are further from how they would begin on this model than that is large: it is hardly the base model that the adapter was trained on`,
    );
  }
  return layers;
}

async function readPart(A: Tensor, B: Tensor, weight: number): Promise<Part> {
  const [[r = 0, inFeatures = 0], [outFeatures = 0]] = [A.shape, B.shape];
  const change = { inFeatures, outFeatures, r, A: await A.read(), B: await B.read(), scale: 1 };
  return { change, weight };
}

function partOf({ inFeatures, outFeatures }: Linear, { A, B }: Factors, weight: number): Part {
  return { change: { inFeatures, outFeatures, r: A.length / inFeatures, A, B, scale: 1 }, weight };
}

/** ‖Σ weight · ΔW‖, Frobenius' norm; the same scale is left out of all. */
function normOf(parts: readonly Part[]): number {
  return norm(svdOfSum(parts).S);
}

function shaken({ rows, cols, values }: Dense, deviation: number, random: Random): Dense {
  return { rows, cols, values: values.map((value) => value + deviation * random.normal()) };
}
