import { mkdtemp, readdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import { type ChoiceStore, Choices, choiceKey } from "../../src/gpu/choices.ts";
import { nodeChoices } from "../../src/platform/node-choices.ts";
import { webChoices } from "../../src/platform/web-choices.ts";

const DEVICE = "llvmpipe (LLVM 15.0.6, 256 bits)";
const HERE = { hardware: "mesa llvmpipe", device: DEVICE };

function memoryStore(text?: string): ChoiceStore & { text: string | undefined } {
  return {
    text,
    async load() {
      return this.text;
    },
    async save(_, saved) {
      this.text = saved;
    },
  };
}

test("what one process chose, the next one knows", async () => {
  const store = memoryStore();
  const first = new Choices(HERE, store);
  await first.load();
  first.set("matmul NT f32 m7 n8 k8", "subgroup");
  await first.save();
  const second = new Choices(HERE, store);
  expect(second.get("matmul NT f32 m7 n8 k8")).toBeUndefined();
  expect(await second.load()).toBeUndefined();
  expect(second.get("matmul NT f32 m7 n8 k8")).toBe("subgroup");
  second.clear();
  expect(second.size).toBe(0);
});

test.each([
  ["an unfinished file", '{"version": 1, "choices": {"a": "b"'],
  ["another version", '{"version": 2, "choices": {"a": "b"}}'],
  ["no choices", '{"version": 1}'],
  ["a list", "[]"],
  ["null", "null"],
  ["a choice that is no name", JSON.stringify({ version: 1, device: DEVICE, choices: { a: 1 } })],
])("%s counts as nothing measured, and that is told", async (_, text) => {
  const choices = new Choices(HERE, memoryStore(text));
  expect(await choices.load()).toMatch(/cannot be read; tune\(model\) measures them again/);
  expect(choices.size).toBe(0);
});

test("what was measured on another driver is not used, and that is told", async () => {
  const store = memoryStore();
  const before = new Choices({ ...HERE, device: "llvmpipe (LLVM 14)" }, store);
  before.set("a", "b");
  await before.save();
  const after = new Choices(HERE, store);
  expect(await after.load()).toMatch(
    /of "llvmpipe \(LLVM 14\)" are not used, since this is "llvmpipe \(LLVM 15/,
  );
  expect(after.size).toBe(0);
  await after.save(); // measured again
  expect(await after.load()).toBeUndefined();
});

test("without a store choices live as long as the device", async () => {
  const choices = new Choices(HERE);
  choices.set("a", "b");
  await choices.load();
  await choices.save();
  expect(choices.get("a")).toBe("b");
});

test("in Node a file for each device", async () => {
  const folder = await mkdtemp(join(tmpdir(), "choices-"));
  const store = nodeChoices(folder);
  expect(await store.load(DEVICE)).toBeUndefined();
  await store.save(DEVICE, "first");
  await store.save(DEVICE, "second");
  await store.save("another", "third");
  expect(await store.load(DEVICE)).toBe("second");
  expect((await readdir(join(folder, "choices"))).sort()).toEqual([
    "another.json",
    "llvmpipe-llvm-15-0-6-256-bits.json",
  ]);
  await writeFile(join(folder, "choices", `${choiceKey(DEVICE)}.json`), "edited");
  expect(await store.load(DEVICE)).toBe("edited");
  expect(await readFile(join(folder, "choices", "another.json"), "utf8")).toBe("third");
});

describe("in browsers", () => {
  afterEach(() => vi.unstubAllGlobals());

  test("an entry of localStorage", async () => {
    const entries = new Map<string, string>();
    vi.stubGlobal("localStorage", {
      getItem: (key: string) => entries.get(key) ?? null,
      setItem: (key: string, value: string) => entries.set(key, value),
    });
    const store = webChoices();
    expect(await store.load(DEVICE)).toBeUndefined();
    await store.save(DEVICE, "text");
    expect(await store.load(DEVICE)).toBe("text");
    expect([...entries.keys()]).toEqual([`webgpu-lora/choices/${choiceKey(DEVICE)}`]);
  });

  test("none where storage is blocked", async () => {
    vi.stubGlobal("localStorage", undefined);
    const store = webChoices();
    await store.save(DEVICE, "text");
    expect(await store.load(DEVICE)).toBeUndefined();
  });
});
