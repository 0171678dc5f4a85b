import { describe, expect, test } from "vitest";
import { empty, fromArray } from "../../src/gpu/tensor.ts";
import { type GroupedOptions, groupChoices, groupedMatmul } from "../../src/kernels/grouped-matmul.ts";
import { createRandom } from "../../src/util/random.ts";
import { randomValues } from "../reference/gradient.ts";
import { groupedReference } from "../reference/grouped-matmul.ts";
import { floats, testDevice } from "../support/device.ts";
import { type Kind, randomWeight } from "../support/weights.ts";

interface Case extends Omit<GroupedOptions, "bias"> {
  name: string;
  tokens: number;
  chosen: number;
  experts: number;
  n: number;
  k: number;
  /** Each choice has a row of A of its own. */
  own?: boolean;
  biased?: boolean;
  kind?: Kind;
  /** Only this expert is chosen. */
  only?: number;
}

const MXFP4: Kind = { format: "mxfp4", block: 32, scales: "e8m0" };

const cases: Case[] = [
  {
    name: "NT, a row for all choices of a token",
    tokens: 70,
    chosen: 2,
    experts: 5,
    n: 36,
    k: 64,
    biased: true,
    layout: "NT",
  },
  { name: "NT, a row a choice", tokens: 41, chosen: 3, experts: 4, n: 132, k: 12, own: true, layout: "NT" },
  { name: "NN", tokens: 70, chosen: 2, experts: 5, n: 36, k: 64, own: true, layout: "NN" },
  { name: "all through one expert", tokens: 127, chosen: 1, experts: 8, n: 4, k: 4, layout: "NT", only: 6 },
  {
    name: "more experts than choices",
    tokens: 5,
    chosen: 2,
    experts: 40,
    n: 8,
    k: 8,
    layout: "NT",
    biased: true,
  },
  {
    name: "mxfp4, NT",
    tokens: 70,
    chosen: 2,
    experts: 5,
    n: 36,
    k: 64,
    biased: true,
    layout: "NT",
    kind: MXFP4,
  },
  {
    name: "mxfp4, NN",
    tokens: 33,
    chosen: 2,
    experts: 3,
    n: 64,
    k: 36,
    own: true,
    layout: "NN",
    kind: MXFP4,
  },
  { name: "few", tokens: 3, chosen: 4, experts: 9, n: 36, k: 64, biased: true, layout: "NT" },
  {
    name: "few of mxfp4, a row a choice",
    tokens: 1,
    chosen: 4,
    experts: 9,
    n: 36,
    k: 64,
    own: true,
    layout: "NT",
    kind: MXFP4,
  },
];

async function expectCorrect(
  one: Case,
  options: Pick<GroupedOptions, "portable" | "windowBytes">,
): Promise<void> {
  const { tokens, chosen, experts, n, k, own = false, biased = false, layout, kind, only } = one;
  const device = await testDevice();
  const random = createRandom(tokens);
  const choices = Uint32Array.from(
    { length: tokens * chosen },
    () => only ?? Math.floor(random.uniform() * experts),
  );
  const rows = own ? tokens * chosen : tokens;
  const a = randomValues(rows * k, 1);
  const shape = layout === "NT" ? ([experts * n, k] as const) : ([experts * k, n] as const);
  const made = kind && randomWeight(device, shape, kind);
  const b = made?.values ?? randomValues(experts * n * k, 2);
  const bias = biased ? randomValues(experts * n, 3) : undefined;
  const grouping = groupChoices(
    fromArray(device, choices, [tokens, chosen]),
    experts,
    layout === "NN" || undefined,
  );
  const got = groupedMatmul(
    floats(device, a, [rows, k]),
    made?.weight ?? floats(device, b, shape),
    grouping,
    {
      ...{ layout, ...options },
      bias: bias && floats(device, bias, [experts, n]),
    },
  );
  expect(got.shape).toEqual([tokens * chosen, n]);
  const problem = { n, k, per: own ? 1 : chosen, layout, choices, bias };
  expect(await got.read()).toBeClose(groupedReference(a, b, problem));
}

describe.each(cases)("$name", (one) => {
  test.each([false, true])("portable %s", (portable) => expectCorrect(one, { portable }));
});

test.each([false, true])("experts in windows, portable %s", async (portable) => {
  for (const name of ["NT, a row for all choices of a token", "mxfp4, NN", "few"]) {
    const one = cases.find((some) => some.name === name) as Case;
    const expert = one.kind ? (one.n * one.k) / 2 : 4 * one.n * one.k;
    await expectCorrect(one, { portable, windowBytes: 2 * expert + 1 });
  }
});

test("grouped products name what does not fit", async () => {
  const device = await testDevice();
  const grouping = groupChoices(fromArray(device, new Uint32Array(4), [2, 2]), 3);
  const at = (...shape: number[]) => empty(device, shape);
  expect(() => groupedMatmul(at(2, 8), at(12, 4), grouping, { layout: "NT" })).toThrow(/do not fit/);
  expect(() => groupedMatmul(at(2, 8), at(18, 8), grouping, { layout: "NT" })).toThrow(/multiples of four/);
  expect(() => groupedMatmul(at(2, 8), at(24, 4), grouping, { layout: "NN" })).toThrow(
    /NN needs sorted choices/,
  );
  const options = { layout: "NT" as const, bias: at(4) };
  expect(() => groupedMatmul(at(2, 8), at(12, 8), grouping, options)).toThrow(
    /bias is \[4\], expected \[3, 4\]/,
  );
  const small = { layout: "NT" as const, windowBytes: 64 };
  expect(() => groupedMatmul(at(2, 8), at(12, 8), grouping, small)).toThrow(
    /exceed the binding limit of 64 bytes/,
  );
});
