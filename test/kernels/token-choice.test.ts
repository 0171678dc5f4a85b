import { describe, expect, test } from "vitest";
import { fromArray } from "../../src/gpu/tensor.ts";
import { type Choice, choose, packChoices } from "../../src/kernels/token-choice.ts";
import { sampleToken } from "../../src/train/draw.ts";
import { createRandom } from "../../src/util/random.ts";
import { randomValues } from "../reference/gradient.ts";
import { choiceReference, type ReferenceChoice } from "../reference/token-choice.ts";
import { floats, testDevice } from "../support/device.ts";

describe("choose", () => {
  const CHOICE = { temperature: 1, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, uniform: 0 };
  /** Two edges may be so close to a uniform number that it falls on either side of them. */
  const EDGE = 2e-6;

  async function draw(
    x: Float32Array,
    cols: number,
    choices: readonly Partial<Choice>[],
    seen: readonly (readonly number[])[] = [],
  ): Promise<number[]> {
    const device = await testDevice();
    const words = Math.ceil(cols / 32);
    const bits = new Uint32Array(seen.length === 0 ? 1 : words * choices.length);
    for (const [row, ids] of seen.entries())
      for (const id of ids) bits[row * words + (id >> 5)]! |= 1 << (id & 31);
    const packed = packChoices(choices.map((choice) => ({ ...CHOICE, ...choice })));
    const index = choose(
      fromArray(device, x, [choices.length, cols]),
      fromArray(device, packed, [choices.length, 6]),
      fromArray(device, bits, seen.length === 0 ? [1] : [choices.length, words]),
    );
    return [...(await index.readIntegers())];
  }

  const random = createRandom(5);
  const settings: readonly ReferenceChoice[] = [
    {},
    { temperature: 0.3 },
    { temperature: 20 },
    { topK: 1 },
    { topK: 5 },
    { topK: 1e9 },
    { topP: 0.1 },
    { topP: 0.9 },
    { minP: 0.05 },
    { minP: 1 },
    { temperature: 0.7, topK: 40, topP: 0.9, minP: 0.02 },
    { temperature: 2, topP: 0.5, minP: 0.3 },
  ];

  test.each([1, 2, 31, 127, 1000, 20_000])(
    "draws from %i values what the f64 reference does",
    async (cols) => {
      const choices = settings.flatMap((choice) =>
        [0, 0.5, 1 - 2 ** -33, random.uniform(), random.uniform()].map((uniform) => ({
          temperature: 1,
          ...choice,
          uniform,
        })),
      );
      const x = Float32Array.from(randomValues(cols * choices.length, cols, 3));
      const got = await draw(x, cols, choices);
      for (const [row, choice] of choices.entries()) {
        const { parts } = choiceReference([...x.subarray(row * cols, (row + 1) * cols)], choice);
        const what = `row ${row}: ${JSON.stringify(choice)} gives ${got[row]}`;
        const [from, to] = parts.get(got[row]!) ?? [Number.NaN, Number.NaN];
        expect(choice.uniform, what).toBeGreaterThanOrEqual(from - EDGE);
        expect(choice.uniform, what).toBeLessThanOrEqual(to + EDGE);
      }
    },
  );

  test("the host's sampler chooses the same with the same numbers", async () => {
    const cols = 300;
    const options = { temperature: 0.8, topK: 50, topP: 0.95, minP: 0.01, repetitionPenalty: 1.3 };
    const history = [3, 17, 250, 3];
    const [forHost, forDevice] = [createRandom(9), createRandom(9)];
    const x = Float32Array.from(randomValues(cols * 200, 8, 3));
    const choices = Array.from({ length: 200 }, () => ({ ...options, uniform: forDevice.uniform() }));
    const rows = choices.map((_, row) => x.subarray(row * cols, (row + 1) * cols));
    const wanted = rows.map((row) => sampleToken(row, options, history, forHost));
    expect(
      await draw(
        x,
        cols,
        choices,
        rows.map(() => history),
      ),
    ).toEqual(wanted);
  });

  test("equal values: top-k keeps all that equal the last, top-p the first of them; they are drawn in order", async () => {
    const x = Float32Array.of(1, 2, 1, 2, 1, 1, 0, 1);
    const uniforms = Array.from({ length: 64 }, (_, i) => (i + 0.5) / 64);
    for (const choice of [
      {},
      { topK: 3 },
      { topK: 2 },
      { topP: 0.7 },
      { topP: 0.75, minP: 0.3 },
      { topK: 1 },
    ]) {
      const choices = uniforms.map((uniform) => ({ temperature: 1, ...choice, uniform }));
      const all = new Float32Array(8 * 64);
      for (let row = 0; row < 64; row++) all.set(x, 8 * row);
      expect(await draw(all, 8, choices)).toEqual(choices.map((c) => choiceReference([...x], c).index));
    }
    const halves = Float32Array.of(5, 5, 5, 5); // half of the mass is that of two exactly
    expect(await draw(halves, 4, [{ topP: 0.5, uniform: 0.999 }])).toEqual([1]);
    const level = new Float32Array(5000).fill(-7);
    expect(await draw(level, 5000, [{ uniform: 0.73211 }])).toEqual([Math.floor(5000 * 0.73211)]);
  });

  test("the penalty, also of the largest value alone, and what is chosen is noted", async () => {
    const device = await testDevice();
    const x = Float32Array.of(4, 3, -1, -2, 3.5);
    expect(await draw(x, 5, [{ temperature: 0, repetitionPenalty: 2 }], [[0]])).toEqual([4]);
    expect(await draw(x, 5, [{ temperature: 0 }])).toEqual([0]);
    const low = Float32Array.of(-1, -1.5, -3);
    expect(await draw(low, 3, [{ temperature: 0, repetitionPenalty: 2 }], [[0]])).toEqual([1]);
    const [cols, choices] = [40, packChoices([{ ...CHOICE, temperature: 0, repetitionPenalty: 100 }])];
    const noted = fromArray(device, new Uint32Array(2), [1, 2]);
    const values = Float32Array.from({ length: cols }, (_, i) => 40 - Math.abs(i - 35));
    const order: number[] = [];
    for (let step = 0; step < 3; step++) {
      const chosen = choose(fromArray(device, values, [1, cols]), fromArray(device, choices, [1, 6]), noted);
      order.push(...(await chosen.readIntegers()));
    }
    expect(order).toEqual([35, 34, 36]);
    expect([...(await noted.readIntegers())]).toEqual([0, (1 << 2) | (1 << 3) | (1 << 4)]);
  });

  test("a share of the draws falls on each as its probability is", async () => {
    const logits = [0, 1, 2, -1];
    const random = createRandom(3);
    const count = 4000;
    const x = new Float32Array(4 * count);
    for (let row = 0; row < count; row++) x.set(logits, 4 * row);
    const got = await draw(
      x,
      4,
      Array.from({ length: count }, () => ({ uniform: random.uniform() })),
    );
    const total = logits.reduce((sum, l) => sum + Math.exp(l), 0);
    for (const [id, logit] of logits.entries()) {
      const share = got.filter((other) => other === id).length / count;
      expect(Math.abs(share - Math.exp(logit) / total)).toBeLessThan(0.03);
    }
  });

  test.each([
    ["NaN", [0, Number.NaN, 1]],
    ["infinity", [0, Number.POSITIVE_INFINITY, 1]],
    ["nothing but −infinity", [1, 1, 1].map(() => Number.NEGATIVE_INFINITY)],
  ])("there is no choice where there is %s; masked values are never chosen", async (_, values) => {
    for (const temperature of [0, 1]) {
      expect(await draw(Float32Array.from(values), 3, [{ temperature, uniform: 0.5 }])).toEqual([-1]);
    }
    const masked = Float32Array.of(Number.NEGATIVE_INFINITY, -3e38, Number.NEGATIVE_INFINITY);
    expect(await draw(masked, 3, [{ uniform: 0.999 }])).toEqual([1]);
  });

  test("refuses shapes that do not go together", async () => {
    const device = await testDevice();
    const [x, one] = [
      floats(device, new Float64Array(8), [2, 4]),
      fromArray(device, new Uint32Array(6), [1, 6]),
    ];
    const two = fromArray(device, new Uint32Array(12), [2, 6]);
    expect(() => choose(x, one, fromArray(device, new Uint32Array(1), [1]))).toThrow(
      "choices are [1,6] for 2 rows",
    );
    expect(() => choose(x, two, fromArray(device, new Uint32Array(3), [3]))).toThrow("seen is [3] for [2,4]");
  });
});
