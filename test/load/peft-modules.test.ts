import { describe, expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import type { PeftLoraConfig } from "../../src/adapters/lora/lora-fields.ts";
import type { FileContent } from "../../src/io/files/files.ts";
import { adapterFiles, loadAdapter } from "../../src/load/adapter.ts";
import { editedAdapter, tensorNames } from "../support/adapters.ts";
import { fixturePath, readJsonFile } from "../support/fixtures.ts";
import { openTestTask } from "../support/task-fixtures.ts";

/** peft-modules.json: what PEFT 0.21 does; see make_peft_modules.py. */
interface Case {
  model: string;
  task_type: string | null;
  target_modules: string[] | string;
  modules_to_save: string[] | null;
  error?: string;
  saved?: string[] | null;
  whole?: string[];
  lora?: string[];
  load?: string | null;
  load_without_head?: string | null;
}

const cases = Object.values(readJsonFile<Record<string, Case>>(fixturePath(""), "peft-modules.json"));
const title = ({ model, task_type, target_modules, modules_to_save }: Case) =>
  `${model} ${task_type}: LoRA on ${target_modules}, whole ${JSON.stringify(modules_to_save)}`;

async function written({ model, task_type, target_modules, modules_to_save }: Case) {
  const base = await openTestTask(fixturePath(`tasks/${model}`));
  const options = {
    r: 2,
    targetModules: target_modules,
    ...(modules_to_save && { modulesToSave: modules_to_save }),
    // Only for tasks that it has a name for does PEFT train the head by itself.
    ...(base.headModules.length > 0 && task_type === null && { trainHead: false }),
  };
  return adapterFiles(attach(base, lora(options)));
}

const configOf = (files: ReadonlyMap<string, FileContent>) =>
  JSON.parse(files.get("adapter_config.json") as string) as PeftLoraConfig;

const isUnused = ({ model, whole = [], lora: layers = [] }: Case) =>
  model.endsWith("-embedding") && [...whole, ...layers].some((name) => name.startsWith("pooler."));

describe("what PEFT trains whole is trained and saved", () => {
  const good = cases.filter((c) => !c.error && !c.load && !isUnused(c));
  test.each(good.map((c) => [title(c), c] as const))("%s", async (_, c) => {
    const files = await written(c);
    const names = tensorNames(files).map((name) => name.replace("base_model.model.", ""));
    expect(names.filter((name) => !name.includes("lora_"))).toEqual(c.whole);
    const layers = names.filter((name) => name.endsWith(".lora_A.weight"));
    expect(layers.map((name) => name.replace(".lora_A.weight", ""))).toEqual(c.lora);
    expect(configOf(files).modules_to_save).toEqual(c.saved && [...new Set(c.saved)]);
    expect(configOf(files).task_type).toBe(c.task_type);
    const again = await loadAdapter(
      await openTestTask(fixturePath(`tasks/${c.model}`)),
      editedAdapter(files),
    );
    expect(await adapterFiles(again)).toEqual(files);
  });
});

describe("what PEFT refuses, on attaching or on loading, is refused", () => {
  const bad = cases.filter((c) => c.error || c.load);
  test.each(bad.map((c) => [title(c), c] as const))("%s", async (_, c) => {
    await expect(written(c)).rejects.toThrow(
      /matches no module|is a list of layers|lies inside|leave no layer|is trained whole/,
    );
  });
});

describe("a head that is missing", () => {
  const headed = cases.filter((c) => c.load_without_head && !c.load && c.modules_to_save === null);
  test.each(headed.map((c) => [title(c), c] as const))("is an error, as in PEFT: %s", async (_, c) => {
    const files = editedAdapter(await written(c), { tensors: (name) => name.includes("lora_") });
    const model = await openTestTask(fixturePath(`tasks/${c.model}`));
    await expect(loadAdapter(model, files)).rejects.toThrow(
      /(?:classifier|score)\.\S+ is missing in the file[\s\S]*make task_type null/,
    );
  });

  test("is the model's own where the configuration says so, as the message advises", async () => {
    const [c] = headed;
    const files = editedAdapter(await written(c as Case), {
      tensors: (name) => name.includes("lora_"),
      config: { task_type: null, modules_to_save: null },
    });
    const adapter = await loadAdapter(await openTestTask(fixturePath(`tasks/${c?.model}`)), files);
    expect(adapter.saved).toEqual([]);
    const again = configOf(await adapterFiles(adapter));
    expect([again.task_type, again.modules_to_save]).toEqual([null, null]);
  });

  test("is an error where the model's own would be random", async () => {
    const files = editedAdapter(await written(headed[0] as Case), {
      tensors: (name) => name.includes("lora_"),
      config: { task_type: null, modules_to_save: null },
    });
    const model = await openTestTask(fixturePath(`tasks/${headed[0]?.model}`));
    const fresh = { ...model, initialised: ["classifier.weight", "classifier.bias"] };
    await expect(loadAdapter(fresh, files)).rejects.toThrow(
      /neither the model nor the adapter holds classifier\.weight, classifier\.bias/,
    );
  });
});

describe("a pooler that the task does not use", () => {
  const unused = cases.filter(isUnused);
  test("is nothing to train", async () => {
    const [targeted, whole] = unused as [Case, Case];
    await expect(written(targeted)).rejects.toThrow(/pooler\.dense: sentence-embedding does not use it/);
    await expect(written(whole)).rejects.toThrow(/"pooler" reaches pooler\.dense: sentence-embedding/);
  });

  test.each(unused.map((c) => [title(c), c] as const))("is left out on loading: %s", async (_, c) => {
    const open = () => openTestTask(fixturePath(`tasks/${c.model}`));
    const files = await adapterFiles(attach(await open(), lora({ r: 2, targetModules: ["query"] })));
    const pooler: Record<string, number[]> = c.whole?.length
      ? { "pooler.dense.weight": [16, 16], "pooler.dense.bias": [16] }
      : { "pooler.dense.lora_A.weight": [2, 16], "pooler.dense.lora_B.weight": [16, 2] };
    const added = editedAdapter(files, {
      config: { target_modules: c.target_modules, modules_to_save: c.saved ?? null },
      add: pooler,
    });
    const warnings: string[] = [];
    const adapter = await loadAdapter(await open(), added, { onWarning: (line) => warnings.push(line) });
    expect(warnings).toEqual([
      expect.stringMatching(/pooler\.dense.*sentence-embedding does not use/),
      expect.stringMatching(/^the adapter has no effect/), // it was never trained
    ]);
    const again = configOf(await adapterFiles(adapter));
    expect(again.modules_to_save).toBe(null); // else PEFT would want its tensors
  });
});
