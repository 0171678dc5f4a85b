import { afterAll, describe, expect, test } from "vitest";
import { encodePrompt } from "../../src/data/tokenize/special-frame.ts";
import type { Tokenizer } from "../../src/io/tokenizer/tokenizer.ts";
import { type Model, openModel } from "../../src/load/model.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { generateTokens } from "../../src/train/generate.ts";
import { type GenerateOptions, generate } from "../../src/train/generate-text.ts";
import { withFiles } from "../support/checkpoint-edits.ts";
import { testDevice } from "../support/device.ts";
import { BUNDLED_MODEL, fixturePath, openTestModel } from "../support/fixtures.ts";

const demo = await openTestModel(BUNDLED_MODEL);
afterAll(() => demo.release());
const PROMPT = "In the morning";

async function pieces(model: Model, options: GenerateOptions): Promise<string[]> {
  const result: string[] = [];
  for await (const piece of generate(model, PROMPT, options)) result.push(piece);
  return result;
}

test("pieces add up to the text, and a stop string across the border of two of them cuts it there", async () => {
  const options = { maxNewTokens: 16 };
  const whole = await pieces(demo, options);
  const text = whole.join("");
  const at = whole.findIndex((piece, i) => piece.length > 1 && (whole[i + 1]?.length ?? 0) > 1);
  const stop = `${whole[at]!.at(-1)}${whole[at + 1]![0]}`;
  const cut = await pieces(demo, { ...options, stop: ["never", stop] });
  expect(cut.join("")).toBe(text.slice(0, text.indexOf(stop)));
  expect((await pieces(demo, { ...options, stop: [text.slice(-1).repeat(9)] })).join("")).toBe(text);
});

/** A model whose tokenizer gives a byte of "né€" for each token, and notes what it was asked to continue. */
async function byteModel(): Promise<{ model: Model; asked: (readonly number[] | undefined)[] }> {
  const asked: (readonly number[] | undefined)[] = [];
  const bytes = new TextEncoder().encode("né€");
  const tokenizer: Partial<Tokenizer> = {
    encode: (text) => (text === "" ? [] : [5, 17, 3]),
    specialToken: () => undefined,
    stopTokenIds: [],
    decodeStream({ after } = {}) {
      asked.push(after);
      const decoder = new TextDecoder();
      let count = 0;
      return {
        push: () => decoder.decode(bytes.slice(count, ++count), { stream: true }),
        flush: () => decoder.decode(),
      };
    },
  };
  const model = await openTestModel(fixturePath("llama-gqa"));
  return { model: { ...model, tokenizer: tokenizer as Tokenizer }, asked };
}

test("characters come whole, after the prompt's tokens; one that is cut off ends the text as U+FFFD", async () => {
  const { model, asked } = await byteModel();
  expect(await pieces(model, { maxNewTokens: 6 })).toEqual(["n", "é", "€"]);
  expect(await pieces(model, { maxNewTokens: 5 })).toEqual(["n", "é", "\uFFFD"]);
  expect((await pieces(model, { maxNewTokens: 5, stop: ["\uFFFD"] })).join("")).toBe("né");
  expect(asked[0]).toEqual([5, 17, 3]);
  model.release();
});

test("a special token ends the text where a stop string is one or holds one", async () => {
  const { tokenizer } = demo;
  if (!tokenizer) throw new Error("the demo has a tokenizer");
  const ids: number[] = [];
  for await (const id of generateTokens(demo, encodePrompt(tokenizer, PROMPT), { maxNewTokens: 8 }))
    ids.push(id);
  const mark = ids[4] as number;
  const before = tokenizer.decode(ids.slice(0, ids.indexOf(mark)));
  const specialToken = (id: number) => (id === mark ? "<|im_end|>" : undefined);
  const model = { ...demo, tokenizer: { ...tokenizer, specialToken } };
  const text = async (stop: string[]) => (await pieces(model, { maxNewTokens: 8, stop })).join("");
  expect(await text(["<|im_end|>"])).toBe(before);
  expect(await text([`${before.at(-1)}<|im_end|>`])).toBe(before.slice(0, -1));
  expect((await text(["<|im_start|>"])).startsWith(before)).toBe(true);
});

describe("generation_config.json", () => {
  async function open(config: object): Promise<{ model: Model; warnings: string[] }> {
    const warnings: string[] = [];
    const files = withFiles(folderFiles(BUNDLED_MODEL), { "generation_config.json": JSON.stringify(config) });
    const onWarning = (warning: string) => warnings.push(warning);
    return { model: await openModel(files, await testDevice(), { onWarning }), warnings };
  }
  const text = async (model: Model, options: GenerateOptions = {}) =>
    (await pieces(model, { maxNewTokens: 16, seed: 5, ...options })).join("");

  test("says how tokens are chosen, unless the caller does", async () => {
    const { model } = await open({ do_sample: true, temperature: 1.5, top_k: 0, repetition_penalty: 1.3 });
    const given = { temperature: 1.5, topK: 0, repetitionPenalty: 1.3 };
    expect(model.generation).toEqual(given);
    expect(await text(model)).toBe(await text(demo, given));
    expect(await text(model)).not.toBe(await text(demo));
    expect(await text(model, { temperature: 0, repetitionPenalty: 1 })).toBe(await text(demo));
    expect(await text(model, { temperature: undefined } as GenerateOptions)).toBe(await text(demo, given));
    model.release();
  });

  test("what is not used is told, and an end that no token can be", async () => {
    const { model, warnings } = await open({ num_beams: 4, eos_token_id: [2, 99_999] });
    expect(warnings).toEqual([
      expect.stringMatching(/generation_config\.json has num_beams 4, not used here$/),
      expect.stringMatching(/no text ends with the token 99999: the model's embedding has \d+ rows$/),
    ]);
    expect(await text(model)).toBe(await text(demo));
    await expect(text(model, { eosTokenIds: [99_999] })).rejects.toThrow(/eosTokenIds has 99999/);
    model.release();
  });

  test("one with nonsense is refused by the names of its fields", async () => {
    await expect(open({ do_sample: true, temperature: -1 })).rejects.toThrow(/temperature is -1/);
  });
});
