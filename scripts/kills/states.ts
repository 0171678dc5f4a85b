// Folders in numbered states: what is in them is known to the byte, so that every mixture is seen.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { peftLoraConfig } from "../../src/adapters/lora/lora-codec.ts";
import { writeSafetensors } from "../../src/io/formats/safetensors-writer.ts";
import { peftFiles } from "../../src/load/lora-files.ts";
import { OWN_PREFIX } from "../../src/platform/node-folders/folder-changes.ts";

/** Files by name, the configuration first. */
export type Files = Map<string, string | Uint8Array>;

/** What a folder holds in each of its states. */
export type States = (state: number) => Files;

const VALUES = 4096;

function filled(shape: readonly [number, number], value: number) {
  return { shape, data: new Float32Array(shape[0] * shape[1]).fill(value) };
}

/** An adapter all of whose files tell its state: three of them change. */
export function adapterState(state: number): Files {
  const config = peftLoraConfig({ r: 4, lora_alpha: state + 1, target_modules: ["q_proj"] });
  const pair = { lora_A: filled([4, VALUES], state), lora_B: filled([VALUES, 4], -state) };
  const paths = [0, 1].map((layer) => `model.layers.${layer}.self_attn.q_proj`);
  const files: Files = peftFiles({ config, tensors: new Map(paths.map((path) => [path, pair])) });
  return files.set("labels.json", JSON.stringify([`state ${state}`]));
}

/** An adapter that is trained further: its weights alone change. */
export function weightsState(state: number): Files {
  const files = adapterState(0);
  const weights = adapterState(state).get("adapter_model.safetensors") as Uint8Array;
  return files.set("adapter_model.safetensors", weights);
}

/** A model in one file or, in every second state, in two with an index; the other state's files must go. */
export function modelState(state: number): Files {
  const tensor = (name: string) => {
    const { shape, data } = filled([64, 256], state);
    return { name, dtype: "F32" as const, shape, data: new Uint8Array(data.buffer) };
  };
  const [first, second] = [tensor("model.a"), tensor("model.b")];
  const config = JSON.stringify({ model_type: "llama", state });
  if (state % 2 === 0) {
    return new Map<string, string | Uint8Array>([
      ["config.json", config],
      ["model.safetensors", writeSafetensors([first, second])],
      ["tokenizer.json", `{"state":${state}}`],
    ]);
  }
  const [one, two] = [1, 2].map((i) => `model-0000${i}-of-00002.safetensors`) as [string, string];
  const index = { metadata: {}, weight_map: { "model.a": one, "model.b": two } };
  return new Map<string, string | Uint8Array>([
    ["config.json", config],
    [one, writeSafetensors([first])],
    [two, writeSafetensors([second])],
    ["model.safetensors.index.json", JSON.stringify(index)],
    ["1_Pooling/config.json", `{"state":${state}}`],
  ]);
}

/** Names of the files in a folder, with `/`; those of saves under way, and of checkpoints, are left out. */
export function namesIn(folder: string): string[] {
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" });
  const isFile = (name: string) => statSync(join(folder, name), { throwIfNoEntry: false })?.isFile();
  return names
    .filter((name) => !name.startsWith(OWN_PREFIX) && !/^checkpoint-\d/.test(name) && isFile(name))
    .sort();
}

/** Whether a path is one of a save under way, or of one that was cut off. */
export function isOfSave(path: string): boolean {
  return path.split("/").some((name) => name.startsWith(OWN_PREFIX));
}

/**
 * The state that all files of a folder are of, as a program sees it that knows nothing of our saves.
 * @param known names of the states that it may be in
 * @returns undefined where the configuration is missing, so that nobody reads the folder
 * @throws Error where the files are of several states, or some are missing
 */
export function stateOf(folder: string, states: States, known: readonly number[]): number | undefined {
  const names = namesIn(folder);
  if (!names.some((name) => /^(?:adapter_)?config\.json$/.test(name))) return undefined;
  const found = known.find((state) => holds(folder, names, states(state)));
  if (found === undefined)
    throw new Error(`${folder} is in none of the states ${known}: ${names.join(", ")}`);
  return found;
}

function holds(folder: string, names: readonly string[], files: Files): boolean {
  if (names.join() !== [...files.keys()].sort().join()) return false;
  return [...files].every(([name, content]) => readFileSync(join(folder, name)).equals(Buffer.from(content)));
}
