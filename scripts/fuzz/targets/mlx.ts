import { readMlxAdapter } from "../../../src/io/formats/mlx.ts";
import { type TensorEntry, writeSafetensors } from "../../../src/io/formats/safetensors-writer.ts";
import { convertAdapter } from "../../../src/load/convert/convert-adapter.ts";
import type { Random } from "../../../src/util/random.ts";
import { textOf, treeOf } from "../json-tree.ts";
import { mutateJson } from "../mutate-json.ts";
import { bytesOf } from "../mutate-text.ts";
import { ensure, folderOf, type InputFiles, type Target } from "../target.ts";
import { mutateSafetensors } from "./safetensors.ts";

const CONFIG = "adapter_config.json";
const WEIGHTS = "adapters.safetensors";
const MODULES = ["self_attn.q_proj", "mlp.up_proj"];

const SETTINGS = treeOf({
  fine_tune_type: "lora",
  lora_parameters: { rank: 2, scale: 10, dropout: 0.5, keys: MODULES },
  model: "org/name",
  num_layers: 2,
});

function weights(random: Random): Uint8Array {
  const tensor = (name: string, shape: readonly number[]): TensorEntry => {
    const dtype = random.pick(["F32", "F16", "BF16"] as const);
    const count = (shape[0] ?? 0) * (shape[1] ?? 0);
    const data = new Uint8Array(count * (dtype === "F32" ? 4 : 2)).fill(random.integer(60));
    return { name, dtype, shape, data };
  };
  const paths = [0, 1].flatMap((layer) => MODULES.map((name) => `model.layers.${layer}.${name}`));
  return writeSafetensors(
    paths.flatMap((path) => [tensor(`${path}.lora_a`, [3, 2]), tensor(`${path}.lora_b`, [2, 4])]),
  );
}

function brokenFiles(random: Random): InputFiles {
  const which = random.integer(4);
  const tree = which === 0 ? SETTINGS : mutateJson(SETTINGS, random, [SETTINGS]);
  const plain = weights(random);
  return new Map([
    [CONFIG, bytesOf(textOf(tree), random)],
    [WEIGHTS, which < 2 ? mutateSafetensors(plain, random) : plain],
  ]);
}

/** Adapters of mlx-lm: what is accepted has matrices of one rank, and is the same as PEFT's and back. */
export const mlx: Target = {
  make: brokenFiles,
  async read(input) {
    const files = folderOf(input);
    const { modules } = await readMlxAdapter(files);
    for (const [path, { lora_A, lora_B, r }] of modules) {
      ensure(lora_A.shape[0] === r && lora_B.shape[1] === r, () => `${path} is of another rank than ${r}`);
    }
    const baseConfig = async () => ({});
    const { files: peft } = await convertAdapter(files, { to: "peft", baseConfig });
    const again = await convertAdapter(folderOf(asBytes(peft)), { to: "mlx", baseConfig }).catch(
      () => undefined,
    );
    if (!again) return; // modules outside the layers have no place there
    const back = await readMlxAdapter(folderOf(asBytes(again.files)));
    const digest = (read: typeof modules) =>
      [...read].map(([path, { lora_A, lora_B }]) => `${path} ${lora_A.data} ${lora_B.data}`).sort();
    ensure(
      String(digest(modules)) === String(digest(back.modules)),
      () => "written again it reads otherwise",
    );
  },
};

function asBytes(files: ReadonlyMap<string, unknown>): InputFiles {
  return new Map(
    [...files].map(([name, content]) => [
      name,
      content instanceof Uint8Array ? content : new TextEncoder().encode(String(content)),
    ]),
  );
}
