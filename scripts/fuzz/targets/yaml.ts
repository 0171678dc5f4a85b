import { stringify } from "yaml";
import { parseConfig } from "../../../src/cli/config.ts";
import { tableWith } from "../../../src/cli/method-table.ts";
import { type GivenValue, settle } from "../../../src/cli/settings.ts";
import { TRAIN_OPTIONS as PLAIN } from "../../../src/cli/tables/train.ts";
import { checkTrainSettings } from "../../../src/cli/train-settings.ts";
import { readText } from "../../../src/io/files/files.ts";
import type { Random } from "../../../src/util/random.ts";
import { textOf, treeOf } from "../json-tree.ts";
import { mutateJson } from "../mutate-json.ts";
import { bytesOf, mutateText } from "../mutate-text.ts";
import { ensure, folderOf, type Target } from "../target.ts";

const TRAIN_OPTIONS = tableWith(PLAIN, "lora");

const NAME = "config.yaml";

/** Configurations of a run as people write them, with names of TRL and of mlx-lm. */
const TEXTS = [
  "model: m\ndata: d\noutput_dir: out\nlearning_rate: 2e-4\nmax_steps: 10\ntarget_modules: [q_proj, v_proj]\n",
  "# mlx-lm\nmodel: &m \"m\"\ndata: 'd'\niters: 100\nadapter_path: *m\nlora_parameters:\n  rank: 8\n  scale: 20.0\n  dropout: 0.1\n",
  "model: m\ndata: >-\n  a long\n  path\nlora_r: 0x10\nuse_rslora: yes\nrank_pattern: {q_proj: 4, 'v.*': 2}\nseed: ~\n",
  "model: m\ndata: d\nlabels: [no, yes]\ntask: sequence-classification\nper_device_train_batch_size: 1_0\n",
];

const JSON_CONFIG = {
  ...{ model: "m", data: "d", output_dir: "o", learning_rate: 1e-4, lora_r: 8, lora_alpha: 16, seed: 1 },
  ...{ target_modules: ["q_proj"], rank_pattern: { q_proj: 4 }, use_rslora: true, max_length: 64 },
  lora_parameters: { rank: 4, scale: 2, dropout: 0 },
};

function source(random: Random): string {
  if (random.integer(3) > 0) return mutateText(random.pick(TEXTS), random);
  const { lora_parameters: _, ...plain } = JSON_CONFIG;
  return textOf(mutateJson(treeOf(random.integer(2) === 0 ? JSON_CONFIG : plain), random));
}

function settled(values: readonly GivenValue[]) {
  const result = settle(NAME, TRAIN_OPTIONS, [values]);
  checkTrainSettings(result);
  return result.settings;
}

/** A run's configuration: JSON has the values of JSON.parse, and written again it gives the same settings. */
export const yaml: Target = {
  make: (random) => new Map([[NAME, bytesOf(source(random), random)]]),
  async read(input) {
    const text = await readText(folderOf(input), NAME);
    const values = parseConfig(text, NAME, TRAIN_OPTIONS);
    const settings = settled(values);
    const parsed = parsedJson(text);
    for (const { name, value } of values) {
      const same =
        parsed === undefined || name.includes(".") || JSON.stringify(parsed[name]) === JSON.stringify(value);
      ensure(
        same,
        () => `${name} is ${JSON.stringify(value)}, and JSON.parse has ${JSON.stringify(parsed?.[name])}`,
      );
    }
    const again = stringify(Object.fromEntries(values.map(({ key, value }) => [key, value])));
    const settingsAgain = settled(parseConfig(again, NAME, TRAIN_OPTIONS));
    const [one, other] = [settings, settingsAgain].map((value) => JSON.stringify(value));
    ensure(one === other, () => `${one} is written and read as ${other}`);
  },
};

function parsedJson(text: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}
