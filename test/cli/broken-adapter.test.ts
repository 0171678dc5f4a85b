import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { BUNDLED_MODEL } from "../support/fixtures.ts";
import { useCli } from "./run-cli.ts";

const cli = useCli();
const MODEL = ["--model", BUNDLED_MODEL];

/** Sets the last values of a file's data. */
function spoil(file: string, value: number, count: number): void {
  const bytes = readFileSync(file);
  for (let i = 1; i <= count; i++) bytes.writeFloatLE(value, bytes.length - 4 * i);
  writeFileSync(file, bytes);
}

// An adapter as a training that diverged leaves it: its values are so large that the model computes no numbers.
describe("an adapter that computes no numbers", () => {
  let adapter: string;
  let data: string;

  beforeAll(async () => {
    adapter = cli.path("adapter");
    data = cli.write("rows.jsonl", [{ text: "In the morning" }, { text: "the sun is up" }]);
    const words = ["train", ...MODEL, "--data", data, "--output-dir", adapter, "--iters", "1"];
    expect((await cli.run(words)).code).toBe(0);
    spoil(`${adapter}/adapter_model.safetensors`, 3e38, 200);
  }, 120_000);

  test.each<[string, string[], RegExp]>([
    ["generate", ["--prompt", "In", "--max-tokens", "2"], /a score of the next token is NaN or infinite/],
    ["generate", ["--prompt", "In", "--max-tokens", "2", "--temp", "1"], /a score of the next token is NaN/],
    [
      "eval",
      [],
      /the loss is NaN: in \S+rows\.jsonl:1, \S+rows\.jsonl:2 the first output that is NaN .* is that of model\.layers/,
    ],
  ])("%s %j ends with 1 and says what to do", async (command, more, message) => {
    const rows = command === "eval" ? ["--data", data] : [];
    const result = await cli.run([command, ...MODEL, "--adapter-path", adapter, ...rows, ...more]);
    expect(result.stderr).toMatch(message);
    expect(result.stderr).toContain("try it without the adapter");
    expect(result.code).toBe(1);
  });

  test("training that learns nothing saves nothing", async () => {
    const out = cli.path("again");
    const words = ["train", ...MODEL, "--data", data, "--output-dir", out, "--iters", "2"];
    const result = await cli.run([...words, "--resume-adapter-file", adapter]);
    expect(result.stderr).toMatch(
      /no step had a finite gradient: nothing was learnt; in \S+rows\.jsonl:\d, .* of model\.layers[\s\S]*without the adapter/,
    );
    expect(result.code).toBe(1);
    expect(existsSync(`${out}/adapter_model.safetensors`)).toBe(false);
  });

  test("one that holds NaN is refused when it is loaded, by the name of the tensor", async () => {
    spoil(`${adapter}/adapter_model.safetensors`, Number.NaN, 1);
    const result = await cli.run(["eval", ...MODEL, "--adapter-path", adapter, "--data", data]);
    expect(result.stderr).toMatch(/1 problem:\n {2}- model\.layers\.\d+\.\S+\.lora_[AB] holds NaN/);
    expect(result.code).toBe(1);
  });
});
