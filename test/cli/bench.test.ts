import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { type BenchReport, serializeReport } from "../../kernels-bench/result.ts";
import { reportOf, resultOf } from "../kernels-bench/made-up.ts";
import { useCli } from "./run-cli.ts";

const cli = useCli();

describe("a run", () => {
  test("writes a result and a page, prints a table, and compares", async () => {
    const old = cli.write(
      "old.json",
      serializeReport(reportOf([resultOf("rope forward", 1e-9, { size: "T128 H9 D64" })])).split("\n"),
    );
    const words = [
      "bench",
      "rope",
      "--size",
      "T128",
      "--budget",
      "20s",
      "--output-dir",
      cli.path("out"),
      "--compare",
      old,
    ];
    const { code, stdout, stderr } = await cli.run(words);
    expect({ code, stderr }).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/^Device: .*\nwritten: /m),
    });
    expect(stdout).toMatch(/measured peaks: .* GFLOP\/s .* GB\/s/);
    expect(stdout).toMatch(/rope forward T128 H9 D64 +\d/);
    expect(stdout).toMatch(/1 slower, 0 faster.*\n[\s\S]*the devices differ/);
    const files = readdirSync(cli.path("out")).sort();
    expect(files).toEqual([expect.stringMatching(/\.html$/), expect.stringMatching(/\.json$/)]);
    const report = JSON.parse(readFileSync(cli.path(`out/${files[1]}`), "utf8")) as BenchReport;
    expect(report.results.map(({ op }) => op)).toContain("rope backward");
    expect(files[1]).toBe(`${report.device.id}.json`);
  });

  test("on the portable floor says what is missing", async () => {
    const words = ["bench", "sampling", "--budget", "10s", "--output-dir", cli.path("floor"), "--json"];
    const { code, stdout } = await cli.run(words, { env: { WEBGPU_LORA_ADAPTER: `${adapter()}floor` } });
    expect(code).toBe(0);
    const { clock, notes } = JSON.parse(stdout) as BenchReport;
    expect(clock).toBe("wall");
    expect(notes.join("\n")).toMatch(/no timestamp queries[\s\S]*no subgroups[\s\S]*no shader-f16/);
  });
});

/** Keeps the driver that these tests are run on. */
const adapter = () => (process.env.WEBGPU_LORA_ADAPTER?.includes("swiftshader") ? "swiftshader," : "");

test("kernels and sizes are listed", async () => {
  const { code, stdout } = await cli.run(["bench", "matmul", "--list"]);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^matmul\n {2}matmul A·B f32: 512×512×512/);
});

describe("bad input", () => {
  test.each([
    [
      "a kernel",
      ["matmull"],
      1,
      /no kernel "matmull"; did you mean matmul\?\n.*kernels: training-step, host, matmul, attention/,
    ],
    ["a size", ["rope", "--size", "T129"], 1, /no case has the size "T129"\n.*sizes: .*T128/],
    ["a time", ["--budget", "soon"], 2, /--budget is "soon", wanted a time above 0, such as 60s, 5m or 30d/],
    ["a result that is not there", ["--compare", "none.json"], 1, /none\.json: no such file/],
  ])("%s", async (_, words, exitCode, message) => {
    const { code, stderr } = await cli.run(["bench", ...words, "--output-dir", cli.path("none")]);
    expect({ code, stderr }).toMatchObject({ code: exitCode, stderr: expect.stringMatching(message) });
    expect(existsSync(cli.path("none")), "an output folder was made").toBe(false);
  });

  test("a result of another version is found out before anything is timed", async () => {
    const old = cli.write("v9.json", [JSON.stringify({ ...reportOf([]), version: 9 })]);
    const { code, stderr } = await cli.run([
      "bench",
      "rope",
      "--compare",
      old,
      "--output-dir",
      cli.path("none"),
    ]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/v9\.json: is a result of version 9 .*\n.*run the benchmark again/);
    expect(stderr).not.toMatch(/Device/);
  });

  test("an output folder below a file", async () => {
    const file = cli.write("file", ["x"]);
    const { code, stderr } = await cli.run(["bench", "rope", "--output-dir", `${file}/out`]);
    expect({ code, stderr }).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/output_dir: .* is a file/),
    });
  });

  test("a folder where the result should be: nothing is half-written", async () => {
    mkdirSync(cli.path("taken"));
    const first = await cli.run([
      "bench",
      "sampling",
      "--budget",
      "5s",
      "--output-dir",
      cli.path("first"),
      "--json",
    ]);
    const { id } = (JSON.parse(first.stdout) as BenchReport).device;
    mkdirSync(cli.path(`taken/${id}.json`));
    const { code, stderr } = await cli.run([
      "bench",
      "sampling",
      "--budget",
      "5s",
      "--output-dir",
      cli.path("taken"),
    ]);
    expect({ code, stderr }).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/is a folder, so no file can/),
    });
    expect(readdirSync(cli.path("taken"))).toEqual([`${id}.json`]);
  });
});
