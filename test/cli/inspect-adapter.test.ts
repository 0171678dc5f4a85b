import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { fixturePath } from "../support/fixtures.ts";
import { useCli } from "./run-cli.ts";

const cli = useCli();
const model = fixturePath("llama-gqa");
const adapter = `${model}/adapter`;

test("an adapter beside its base model: kinds of layers, each layer, a page", async () => {
  const page = cli.path("page.html");
  const words = [adapter, "--model", model, "--layers", "--html", page];
  const { code, stdout, stderr } = await cli.run(["inspect-adapter", ...words]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: `Wrote ${page}\n` });
  expect(stdout).toMatch(/^layers +14 of rank 4, alpha 8, scale 2$/m);
  expect(stdout).toMatch(/^layers +rank +‖ΔW‖ +‖ΔW‖\/‖W‖ +‖ΔW‖₂ +effective rank +stable rank$/m);
  expect(stdout).toMatch(/^q_proj +2 +4 +1\.46 to 1\.48 +29\.8 % to 32\.7 %/m);
  expect(stdout.match(/^model\.layers\.\d\.\S+ +4 +\S+ +\S+ %/gm)).toHaveLength(14);
  const html = readFileSync(page, "utf8");
  expect(html.match(/<rect /g)).toHaveLength(14);
  expect(html).not.toMatch(/<script|https?:/);
});

test("--json is the report; one that changes nothing ends with 1", async () => {
  const { stdout } = await cli.run(["inspect-adapter", adapter, "--json"]);
  expect(JSON.parse(stdout)).toMatchObject({ type: "LORA", changes: true, parameters: 3904, findings: [] });
  const none = cli.path("none");
  const combined = await cli.run([
    "combine",
    adapter,
    `${adapter}=-1`,
    "--combination-type",
    "linear",
    "--output",
    none,
  ]);
  expect(combined, combined.stderr).toMatchObject({ code: 0 });
  const idle = await cli.run(["inspect-adapter", none]);
  expect(idle.code).toBe(1);
  expect(idle.stdout).toMatch(/error: the adapter has no effect/);
});

test("problems of a configuration stand on lines of their own", async () => {
  const { code, stdout } = await cli.run(["inspect-adapter", fixturePath("starts/pissa")]);
  expect(code).toBe(1);
  expect(stdout).toMatch(/^error: .*: 1 problem:\n {2}- .*: 1 problem:\n {6}- init_lora_weights is "pissa"/m);
  expect(stdout).not.toMatch(/\\n|→ *$/m);
});

test("what is no adapter is refused", async () => {
  const { code, stderr } = await cli.run(["inspect-adapter", model]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/adapter_config\.json: no such file/);
  expect((await cli.run(["inspect-adapter"])).code).toBe(2);
});
