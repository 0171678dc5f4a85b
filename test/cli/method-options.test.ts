// `train --method NAME`: every method's options, by the names of PEFT's fields.
import { Command } from "commander";
import { describe, expect, test } from "vitest";
import { METHODS } from "../../src/adapters/methods.ts";
import { parseConfig } from "../../src/cli/config.ts";
import { addFlags } from "../../src/cli/flags.ts";
import { chooseHead } from "../../src/cli/labels.ts";
import { methodOf, methodTable, tableWith, withMethod } from "../../src/cli/method-table.ts";
import { allNames, type GivenValue, keyOf, settle } from "../../src/cli/settings.ts";
import { TRAIN_OPTIONS } from "../../src/cli/tables/train.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { fixturePath } from "../support/fixtures.ts";

const ALL = Object.assign({}, ...METHODS.map(methodTable), TRAIN_OPTIONS);
const given = (words: Record<string, unknown>): GivenValue[] =>
  Object.entries({ "--model": "m", "--data": "d", ...words }).map(([name, value]) => ({
    key: keyOf(ALL, name.replace(/^--/, "")) as string,
    name,
    value,
  }));
/** What the flags give, once settled. */
function methodBy(words: Record<string, unknown>) {
  const { table, sources } = withMethod(TRAIN_OPTIONS, [given(words)]);
  const { settings } = settle("train", table, sources);
  return methodOf(settings.method, settings);
}
const optionsOf = (method: object) => (method as { options: object }).options;

describe.each(METHODS)("$name", (kind) => {
  const required = Object.values(kind.options).filter((option) => option.required);
  const least = Object.fromEntries(required.map(({ sets }) => [sets, 3]));

  test("no name means two things, and none is one of train's own", () => {
    const names = allNames(tableWith(TRAIN_OPTIONS, kind.name));
    expect(names).toEqual([...new Set(names)]);
  });

  test("the flags set the options of the method's function, all of them", () => {
    const sets = Object.values(kind.options).map((option) => option.sets);
    let message = "";
    try {
      kind.make({ ...least, no_such_option: 1 } as never);
    } catch (error) {
      message = String(error);
    }
    const known = /the options are (.*)/.exec(message)?.[1]?.split(", ") ?? [];
    expect(new Set(sets)).toEqual(new Set(known.filter((name) => name !== "trainHead")));
  });

  test("its defaults are those of the function", () => {
    const flags = required.map(({ sets }) => {
      const [name] = Object.entries(kind.options).find(([, option]) => option.sets === sets)!;
      return [`--${name}`, "3"];
    });
    const method = methodBy({ "--method": kind.name, ...Object.fromEntries(flags) });
    expect(method.type).toBe(kind.type);
    const wanted = optionsOf(kind.make(least as never));
    expect(optionsOf(method)).toEqual(wanted);
  });
});

test("layers are stacked as the flag says, or the adapter that is named", async () => {
  const read = TRAIN_OPTIONS.layer_replication.read;
  expect(read("[[0, 4], [2, 5]]")).toEqual([
    [0, 4],
    [2, 5],
  ]);
  expect(read([[0, 2]])).toEqual([[0, 2]]); // of a configuration
  for (const wrong of ["0-4", "[[0]]", "[[2, 1]]", "[]", "[[-1, 2]]", "[[0, 1.5]]"])
    expect(read(wrong), wrong).toBeUndefined();

  const reference = fixturePath("methods/lora-replicated");
  const adapter = { reference, revision: undefined, token: undefined, verify: false };
  const plain = { ...adapter, reference: fixturePath("methods/lora") };
  const head = { task: "causal-lm", given: [], data: undefined, seed: 0 } as const;
  const files = folderFiles(fixturePath("llama-gqa"));
  const choose = async (adapters: (typeof adapter)[], replication?: [number, number][]) =>
    (await chooseHead({ ...head, adapters, replication })(files)).layerReplication;
  expect(await choose([plain])).toBeUndefined();
  expect(await choose([plain, adapter])).toEqual([
    [0, 2],
    [0, 1],
  ]);
  expect(await choose([], [[1, 2]])).toEqual([[1, 2]]);
});

test("words become the options of the method", () => {
  const words = {
    "--method": "vera",
    "--rank": "64",
    "--target_modules": ["q_proj,v_proj"],
    "--d-initial": "0.2",
  };
  expect(optionsOf(methodBy(words))).toMatchObject({
    r: 64,
    targetModules: ["q_proj", "v_proj"],
    dInitial: 0.2,
  });
  const lokr = { "--method": "lokr", "--init-weights": "lycoris", "--rank-pattern": ["q_proj=4"] };
  expect(optionsOf(methodBy(lokr))).toMatchObject({ initWeights: "lycoris", rankPattern: { q_proj: 4 } });
  const woken = (tokens: unknown) => optionsOf(methodBy({ "--alora-invocation-tokens": tokens }));
  expect(woken("5,9")).toMatchObject({ aloraInvocationTokens: [5, 9] });
  expect(woken("<|assistant|>")).toMatchObject({ aloraInvocationTokens: "<|assistant|>" });
  for (const wrong of ["", "5,", "5;9"])
    expect(() => methodBy({ "--trainable-token-indices": wrong }), wrong).toThrow(/wanted a list of ids/);
  expect(() => woken("")).toThrow(/wanted a list of ids of tokens, or a text/);
  expect(optionsOf(methodBy({ "--rank": "4", "--init-weights": "true" }))).toMatchObject({ r: 4 });
});

test("a configuration names method and options as flags do, and the command line wins", () => {
  const source = "method: vera\nr: 32\nd_initial: 0.2\ntarget_modules: [q_proj]\n";
  const config = parseConfig(source, "c.yaml", ALL);
  const { table, sources } = withMethod(TRAIN_OPTIONS, [config, given({ "--rank": "8" })]);
  const { settings } = settle("train", table, sources);
  expect(optionsOf(methodOf(settings.method, settings))).toMatchObject({
    r: 8,
    dInitial: 0.2,
    targetModules: ["q_proj"],
  });
  expect(() =>
    withMethod(TRAIN_OPTIONS, [parseConfig("lora_parameters: { rank: 8 }\nmethod: ia3\n", "c.yaml", ALL)]),
  ).toThrow(/lora_parameters\.rank is an option of lora, not of ia3/);
});

test("an option of another method is refused with the methods that have it", () => {
  expect(() => methodBy({ "--method": "vera", "--lora-r": "4", "--decompose-both": true })).toThrow(
    [
      "method: 2 problems:",
      "  - --lora-r is an option of lora, not of vera",
      "  - --decompose-both is an option of lokr, not of vera",
      "  → train --help --method vera lists its options",
    ].join("\n"),
  );
  expect(() => methodBy({ "--d-initial": "1" })).toThrow(/--d-initial is an option of vera, not of lora/);
});

test("a method that there is not, and one without what it needs", () => {
  expect(() => methodBy({ "--method": "lore" })).toThrow(/--method is "lore", wanted one of lora, adalora, /);
  expect(() => methodBy({ "--method": "prompt_tuning" })).toThrow(
    /num_virtual_tokens is missing; give --num-virtual-tokens N/,
  );
});

test("the options of an adapter that is resumed are its own, whatever its method", () => {
  const words = { "--resume-adapter-file": "a", "--method": "vera", "--d-initial": "1" };
  expect(() => methodBy(words)).toThrow(
    /method comes from the adapter that is resumed\n.*d_initial comes .*\n.*leave out --method, --d-initial/,
  );
});

test("the help lists the options of the method beside it", () => {
  const command = new Command("train");
  addFlags(command, [TRAIN_OPTIONS, ...METHODS.map(methodTable)], () =>
    tableWith(TRAIN_OPTIONS, command.opts().method),
  );
  expect(command.helpInformation()).toContain("--lora-r <n>");
  command.parse(["--method", "vera"], { from: "user" });
  expect(command.helpInformation()).toContain("--d-initial <number>");
  expect(command.helpInformation()).not.toContain("--lora-r");
});
