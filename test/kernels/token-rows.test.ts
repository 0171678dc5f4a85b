import { describe, expect, test } from "vitest";
import { fromArray } from "../../src/gpu/tensor.ts";
import { addToColumns, findTokens, takeColumns } from "../../src/kernels/token-rows.ts";
import { centralDifferences, randomValues } from "../reference/gradient.ts";
import { addToColumnsReference } from "../reference/token-rows.ts";
import { floats, testDevice } from "../support/device.ts";

const cases: { rows: number; cols: number; tokens: number[] }[] = [
  { rows: 1, cols: 1, tokens: [0] },
  { rows: 3, cols: 127, tokens: [126, 0, 5] },
  { rows: 5, cols: 123, tokens: Array.from({ length: 17 }, (_, i) => 7 * i) },
];

describe.each(cases)("$rows×$cols at $tokens", ({ rows, cols, tokens }) => {
  const y = randomValues(rows * cols, 1);
  const x = randomValues(rows * tokens.length, 2);
  const at = async () => fromArray(await testDevice(), Uint32Array.from(tokens), [tokens.length]);

  test("columns are added to", async () => {
    const device = await testDevice();
    const sum = addToColumns(
      floats(device, y, [1, rows, cols]),
      floats(device, x, [rows, tokens.length]),
      await at(),
    );
    expect(await sum.read()).toBeClose(addToColumnsReference(y, x, tokens, cols));
  });

  test("and the backward pass takes them", async () => {
    const device = await testDevice();
    const dy = floats(device, y, [rows, cols]);
    const dx = takeColumns(dy, await at());
    const wanted = centralDifferences(
      (v) => addToColumnsReference(new Float64Array(rows * cols), v, tokens, cols),
      x,
      y,
    );
    expect(await dx.read()).toBeClose(wanted);
    expect(await takeColumns(dy, await at(), dx).read()).toBeClose(wanted.map((g) => 2 * g));
  });

  test("ids are found among the tokens", async () => {
    const ids = Uint32Array.from([...tokens, cols, 2 ** 32 - 1, tokens[0]!]);
    const slots = findTokens(fromArray(await testDevice(), ids, [1, ids.length]), await at());
    const wanted = Array.from(ids, (id) => tokens.indexOf(id)).map((j) => (j < 0 ? 2 ** 32 - 1 : j));
    expect([...new Uint32Array((await slots.readBytes()).buffer)]).toEqual(wanted);
  });
});

test("parts that do not fit are refused", async () => {
  const device = await testDevice();
  const tokens = fromArray(device, Uint32Array.of(1), [1]);
  expect(() => addToColumns(floats(device, [1, 2], [1, 2]), floats(device, [1, 2], [1, 2]), tokens)).toThrow(
    "token columns: [1,2] of [1,2] at 1 tokens",
  );
});
