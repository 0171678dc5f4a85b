import { describe, expect, test } from "vitest";
import { agreedBatch, requireSameRun } from "../../src/cli/ranks.ts";
import { openTorchPeers, shareOf } from "../../src/platform/node-torch-peers.ts";
import { localPeers } from "../support/local-peers.ts";
import { fakeProgram } from "./fake-program.ts";
import { useCli } from "./run-cli.ts";

const PLACE = { RANK: "1", WORLD_SIZE: "4", MASTER_ADDR: "127.0.0.1", MASTER_PORT: "29500" };

/** Answers as the Python process does: two ranks that have the same. */
const SIDECAR = `
const answer = (status, bytes) => {
  process.stdout.write(new Uint8Array(Uint32Array.of(status, bytes.length).buffer));
  for (let at = 0; at < bytes.length; at += 70001) process.stdout.write(bytes.subarray(at, at + 70001));
};
answer(0, Buffer.alloc(0));
let rest = Buffer.alloc(0);
process.stdin.on("data", (bytes) => {
  rest = Buffer.concat([rest, bytes]);
  if (rest.length < 12 || rest.length < 12 + rest.readUInt32LE(8)) return;
  const payload = Buffer.from(rest.subarray(12, 12 + rest.readUInt32LE(8)));
  const operation = rest.readUInt32LE(0);
  rest = rest.subarray(12 + payload.length);
  if (operation === 0) {
    const values = new Float32Array(payload.buffer, payload.byteOffset, payload.length / 4).map((value) => 2 * value);
    answer(0, new Uint8Array(values.buffer));
  } else if (operation === 2) {
    const one = Buffer.concat([new Uint8Array(Uint32Array.of(payload.length).buffer), payload]);
    answer(0, Buffer.concat([one, one]));
  } else {
    answer(1, Buffer.from("rank 1: its device is lost"));
    process.exit(1);
  }
});
`;

const cli = useCli();

describe("what torchrun tells a process", () => {
  test("its rank among the others; a process on its own, or alone in its world, has none", () => {
    expect(shareOf(PLACE)).toEqual({ rank: 1, size: 4 });
    expect(shareOf({})).toBeUndefined();
    expect(shareOf({ ...PLACE, RANK: "0", WORLD_SIZE: "1" })).toBeUndefined();
  });

  test.each([
    [{ RANK: "4" }, /RANK is 4 and WORLD_SIZE 4/],
    [{ WORLD_SIZE: "many" }, /WORLD_SIZE many/],
    [{ MASTER_ADDR: undefined }, /MASTER_ADDR is not set.*rank 1 of 4 knows not where the others are/],
    [{ MASTER_PORT: "" }, /MASTER_PORT/],
  ])("%o is refused", (change, message) => {
    expect(() => shareOf({ ...PLACE, ...change })).toThrow(message);
  });

  test("talks to the Python beside it: sums, texts and errors, in whatever pieces they come", async () => {
    process.env.WEBGPU_LORA_PYTHON = fakeProgram(cli.path("python"), SIDECAR);
    try {
      const peers = await openTorchPeers({ rank: 0, size: 2 }, 1);
      const values = new Float32Array(100_000).map((_, i) => i);
      expect(await peers.sum(values.slice())).toEqual(values.map((value) => 2 * value));
      expect(peers.traffic.bytes).toBe(400_000);
      expect(await peers.gather("Ünser")).toEqual(["Ünser", "Ünser"]);
      await expect(peers.broadcast(new Uint8Array(1))).rejects.toThrow("rank 0: rank 1: its device is lost");
      await expect(peers.gather("")).rejects.toThrow("its device is lost"); // it has ended
      await peers.close(new Error("over"));
    } finally {
      delete process.env.WEBGPU_LORA_PYTHON;
    }
  });

  test("without a Python there is a remedy", async () => {
    process.env.WEBGPU_LORA_PYTHON = "/nowhere/python";
    try {
      await expect(openTorchPeers({ rank: 0, size: 2 }, 1)).rejects.toThrow(
        /rank 0: \/nowhere\/python does not start.*\n.*pip install torch/,
      );
    } finally {
      delete process.env.WEBGPU_LORA_PYTHON;
    }
  });
});

const NOTES = { settings: { seed: 1, lora_r: 8 }, identity: { base: "a" }, versions: { "webgpu-lora": "1" } };

describe("ranks agree before they begin", () => {
  const agree = (notes: readonly (typeof NOTES)[]) =>
    Promise.allSettled(localPeers(notes.length).map((peers, i) => requireSameRun(peers, notes[i]!)));

  test("ranks of one run", async () => {
    const all = await agree([NOTES, { ...NOTES, versions: { "webgpu-lora": "1" } }]);
    expect(all.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled"]);
  });

  test("rank 0 tells every difference of every rank, and none goes on", async () => {
    const others = { ...NOTES, settings: { seed: 2, lora_r: 8 }, identity: { base: "b" } };
    const old = { ...NOTES, versions: { "webgpu-lora": "0" } };
    const [first, ...rest] = await agree([NOTES, others, old]);
    const message = String((first as PromiseRejectedResult).reason);
    expect(message).toMatch(/rank 1: seed was 1 on rank 0, and is 2/);
    expect(message).toMatch(/rank 1: the base has another content/);
    expect(message).toMatch(/rank 2: program was "1" on rank 0, and is "0"/);
    for (const one of rest) expect(String((one as PromiseRejectedResult).reason)).toMatch(/rank 0 tells/);
  });

  test("the batch fits on the smallest device, unless the run that goes on had one", async () => {
    const settle = (isSettled: boolean) =>
      Promise.all(localPeers(3).map((peers, i) => agreedBatch(peers, 4 - i, isSettled && i === 0)));
    expect(await settle(false)).toEqual([2, 2, 2]);
    expect(await settle(true)).toEqual([4, 4, 4]);
  });
});

describe("settings of several processes", () => {
  const train = (...words: string[]) =>
    cli.run(["train", "--model", "m", "--data", "d", "--output-dir", cli.path("out"), ...words]);

  test.each([
    [["--sync-every", "0"], /--sync-every is "0", wanted a whole number/],
    [
      ["--sync-every", "30", "--save-steps", "60"],
      /the processes meet every 30 steps, and eval_steps is 200\n.*multiples/,
    ],
    [["--sync-every", "50"], /there is one process, which has nobody to meet\n.*torchrun/],
  ])("%s is refused", async (words, message) => {
    const { code, stderr } = await train(...words);
    expect(code).toBeGreaterThan(0);
    expect(stderr).toMatch(message);
  });
});
