import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import { type FileSource, memoryFiles } from "../../../src/io/files/files.ts";
import { openCheckpoint } from "../../../src/io/formats/checkpoint.ts";
import { CheckpointWeights } from "../../../src/io/formats/checkpoint-weights.ts";
import type { SafetensorsDtype } from "../../../src/io/formats/safetensors.ts";
import { planSafetensors, writeSafetensors } from "../../../src/io/formats/safetensors-writer.ts";
import { openModel } from "../../../src/load/model.ts";
import { folderFiles } from "../../../src/platform/node-files.ts";
import { decodeF16, encodeBf16, encodeF16 } from "../../../src/util/half.ts";
import { filesOf } from "../../support/checkpoint-edits.ts";
import { testDevice } from "../../support/device.ts";
import { fixturePath, readJsonFile } from "../../support/fixtures.ts";

const bytes = (data: Float32Array | Uint16Array | Int32Array | Uint32Array) => new Uint8Array(data.buffer);
const values = Float32Array.of(1, -2, 0.5, 3, 0.25, 8);

function checkpointFiles(): FileSource {
  const tensors = [
    { name: "f32", dtype: "F32", shape: [2, 3], data: bytes(values) },
    { name: "bf16", dtype: "BF16", shape: [3], data: bytes(encodeBf16(values.slice(0, 3))) },
    { name: "f16", dtype: "F16", shape: [3], data: bytes(encodeF16(values.slice(3))) },
    { name: "i32", dtype: "I32", shape: [1], data: bytes(Int32Array.of(1)) },
  ] as const;
  return memoryFiles(
    "memory",
    new Map([
      ["config.json", new TextEncoder().encode("{}")],
      [
        "model.safetensors",
        writeSafetensors(tensors.map((tensor) => ({ ...tensor, shape: [...tensor.shape] }))),
      ],
    ]),
  );
}

/** The same, read as Node's Buffers out of the middle of a larger one. */
function inBuffers(files: FileSource): FileSource {
  return {
    ...files,
    async read(...range) {
      const content = await files.read(...range);
      const pool = Buffer.alloc(content.length + 2, 0xff);
      pool.set(content, 1);
      return pool.subarray(1, -1);
    },
  };
}

describe("CheckpointWeights", () => {
  test.each([
    ["arrays", checkpointFiles()],
    ["Buffers at an odd place", inBuffers(checkpointFiles())],
  ])("of bytes in %s keeps words as they are stored and widens what must be f32", async (_, files) => {
    const device = await testDevice();
    const weights = new CheckpointWeights(device, await openCheckpoint(files));
    const f32 = weights.root.tensor("f32", [2, 3]);
    const bf16 = weights.root.tensor("bf16", [3], { storage: "f32" });
    const f16 = weights.root.tensor("f16", [3], { storage: "f32" });
    const words = weights.root.tensor("bf16", [3]);
    await weights.finish();
    expect([...(await f32.read())]).toEqual([...values]);
    expect([...(await bf16.read())]).toEqual([...values.slice(0, 3)]);
    expect([...(await f16.read())]).toEqual([...values.slice(3)]);
    expect(words.dtype).toBe("bf16");
    expect(await words.readBytes()).toEqual(bytes(encodeBf16(values.slice(0, 3))));
  });

  test("NaN and infinity are refused by the tensors' names, unless nobody asks for these tensors", async () => {
    const device = await testDevice();
    const before = device.memory.stats.used;
    const entry = (name: string, dtype: SafetensorsDtype, data: Uint8Array, shape: number[]) => ({
      ...{ name, dtype, shape, data },
    });
    const spoilt = (value: number) => Float32Array.of(1, 2, value, 4, 5, 6);
    const wide = new Float32Array(2 ** 20 + 8).fill(1); // more than is read at a time
    wide[2 ** 20 + 3] = Number.NEGATIVE_INFINITY;
    const files = filesOf({
      config: {},
      tensors: [
        entry("f32", "F32", bytes(spoilt(Number.NaN)), [2, 3]),
        entry("bf16", "BF16", bytes(encodeBf16(spoilt(Number.POSITIVE_INFINITY))), [2, 3]),
        entry("f16", "F16", bytes(encodeF16(spoilt(1e6).slice(0, 3))), [3]),
        entry("widened", "F16", bytes(encodeF16(spoilt(Number.NaN).slice(0, 3))), [3]),
        entry("wide", "F32", bytes(wide), [wide.length]),
        entry("whole", "F16", bytes(encodeF16(Float32Array.of(65_504, -65_504, 0))), [3]),
        entry("mask", "F32", bytes(spoilt(Number.NEGATIVE_INFINITY)), [6]),
      ],
    });
    const weights = new CheckpointWeights(device, await openCheckpoint(files));
    weights.root.tensor("f32", [2, 3]);
    weights.root.tensor("bf16", [3, 2], { transposed: true });
    weights.root.tensor("f16", [3]);
    weights.root.tensor("widened", [3], { storage: "f32" });
    weights.root.tensor("wide", [wide.length]);
    weights.root.tensor("whole", [3]);
    await expect(weights.finish()).rejects.toThrow(
      /5 problems:\n {2}- f32 holds NaN\n {2}- wide holds -Infinity\n {2}- bf16 holds Infinity\n {2}- f16 holds Infinity\n {2}- widened holds NaN\n {2}→ /,
    );
    expect(device.memory.stats.used).toBe(before);
    const rest = new CheckpointWeights(device, await openCheckpoint(files));
    rest.root.tensor("whole", [3]);
    await rest.finish();
    rest.release();
  });

  test("reports every missing, misshapen and unsupported tensor at once, and keeps nothing", async () => {
    const device = await testDevice();
    const before = device.memory.stats.used;
    const weights = new CheckpointWeights(device, await openCheckpoint(checkpointFiles()));
    weights.root.tensor("f32", [3, 2]);
    weights.root.at("layer").tensor("absent", [4]);
    weights.root.tensor("i32", [1]);
    weights.root.tensor("f16", [3]);
    const message = await weights.finish().catch((error: Error) => error.message);
    expect(message).toContain("memory: 3 problems:");
    expect(message).toContain("f32 is [2, 3], the config wants [3, 2]");
    expect(message).toContain("layer.absent [4] is missing");
    expect(message).toContain("i32 is I32; supported are F32, BF16 and F16");
    expect(device.memory.stats.used).toBe(before);
  });
});

/** A checkpoint of one large matrix that exists nowhere: element i has the 16 low bits of i in its low half. */
function madeUpFiles(dtype: "F32" | "F16" | "BF16", shape: [number, number], onRead: () => void): FileSource {
  const { header, size } = planSafetensors([{ name: "matrix", dtype, shape }]);
  const config = new TextEncoder().encode("{}");
  const Bits = dtype === "F32" ? Uint32Array : Uint16Array;
  return {
    label: "made up",
    size: async (name) => ({ "config.json": config.length, "model.safetensors": size })[name],
    read: async (name, start, end) => {
      if (name === "config.json") return config.slice(start, end);
      if (start < header.length) return header.slice(start, end); // the header is read first, and alone
      const first = (start - header.length) / Bits.BYTES_PER_ELEMENT;
      const values = new Bits((end - start) / Bits.BYTES_PER_ELEMENT);
      values.forEach((_, i) => {
        values[i] = (first + i) & 0x3fff; // finite in every format
      });
      onRead();
      return new Uint8Array(values.buffer);
    },
  };
}

describe("a large tensor", () => {
  setFlagsFromString("--expose-gc");
  const collectGarbage = runInNewContext("gc") as () => void;
  const hostBytes = () => {
    collectGarbage();
    collectGarbage(); // waits for the sweeper, which frees the first one's buffers on a thread of its own
    return process.memoryUsage().arrayBuffers;
  };
  const shape: [number, number] = [3001, 1537];

  test.each([
    { dtype: "F32", transposed: false, storage: "words", times: 0.5 },
    { dtype: "F16", transposed: false, storage: "f32", times: 2 },
    { dtype: "F32", transposed: true, storage: "words", times: 1.5 },
    { dtype: "BF16", transposed: true, storage: "words", times: 2 },
  ] as const)(
    "$dtype, transposed $transposed, as $storage: needs less than $times times its bytes on the host",
    async ({ dtype, transposed, storage, times }) => {
      const device = await testDevice();
      let peak = 0;
      const look = () => {
        peak = Math.max(peak, hostBytes());
      };
      const write = device.stream.write.bind(device.stream);
      device.stream.write = (...upload) => {
        look();
        write(...upload);
      };
      const files = madeUpFiles(dtype, shape, look);
      const before = hostBytes();
      try {
        const weights = new CheckpointWeights(device, await openCheckpoint(files));
        const wanted = transposed ? shape.toReversed() : shape;
        const tensor = weights.root.tensor("matrix", wanted, { storage, transposed });
        await weights.finish();
        const fileBytes = shape[0] * shape[1] * (dtype === "F32" ? 4 : 2);
        expect(peak - before).toBeLessThan(times * fileBytes);
        const stored = Uint16Array.from({ length: tensor.size }, (_, i) => {
          const [column, row] = [i % shape[0], Math.floor(i / shape[0])]; // of the transpose
          return (transposed ? column * shape[1] + row : i) & 0x3fff;
        });
        const codes = dtype === "F32" ? Uint32Array.from(stored) : stored;
        const wantedBytes = bytes(dtype === "F16" ? decodeF16(stored) : codes);
        expect(Buffer.from(await tensor.readBytes()).equals(wantedBytes)).toBe(true);
        weights.release();
      } finally {
        device.stream.write = write;
      }
    },
  );
});

test("uploads wait for the device: it keeps a copy of what it has not taken yet", async () => {
  const device = await testDevice();
  let [waiting, most] = [0, 0];
  const { write } = device.stream;
  const { sync } = device;
  device.stream.write = function (allocation, offset, bytes) {
    waiting += bytes.length;
    most = Math.max(most, waiting);
    write.call(this, allocation, offset, bytes);
  };
  device.sync = function () {
    waiting = 0;
    return sync.call(this);
  };
  try {
    const files = madeUpFiles("F32", [12, 2 ** 20], () => {});
    const weights = new CheckpointWeights(device, await openCheckpoint(files));
    weights.root.tensor("matrix", [12, 2 ** 20]);
    await weights.finish();
    expect(most).toBeLessThanOrEqual(36 * 2 ** 20);
    weights.release();
  } finally {
    Object.assign(device, { sync });
    device.stream.write = write;
  }
});

describe("openModel", () => {
  const folder = fixturePath("llama-gqa");
  const files = folderFiles(folder);
  const withConfig = (change: Record<string, unknown>): FileSource => {
    const config = new TextEncoder().encode(
      JSON.stringify({ ...readJsonFile<object>(folder, "config.json"), ...change }),
    );
    return {
      label: "changed",
      size: async (name) => (name === "config.json" ? config.length : files.size(name)),
      read: async (name, start, end) =>
        name === "config.json" ? config.slice(start, end) : files.read(name, start, end),
    };
  };

  test("a model that does not fit gives back what it got", async () => {
    const device = await testDevice();
    const { used } = device.memory.stats;
    const { allocate } = device.memory;
    let count = 0;
    device.memory.allocate = function (bytes) {
      return allocate.call(this, ++count === 9 ? 2 ** 60 : bytes);
    };
    try {
      await expect(openModel(files, device)).rejects.toThrow(/could not give[\s\S]*smaller model/);
    } finally {
      device.memory.allocate = allocate;
    }
    expect(device.memory.stats.used).toBe(used);
  });

  test("a model that is released gives all its memory back", async () => {
    const device = await testDevice();
    const before = device.memory.stats.used;
    (await openModel(files, device)).release();
    expect(device.memory.stats.used).toBe(before);
  });

  test.each([
    [
      { architectures: ["MambaForCausalLM"] },
      /architecture MambaForCausalLM is not supported[\s\S]*LlamaForCausalLM/,
    ],
    [
      { architectures: undefined, model_type: undefined },
      /names neither architectures nor model_type[\s\S]*LlamaForCausalLM/,
    ],
    [{ hidden_act: "mish" }, /hidden_act "mish" is not supported/],
    [{ hidden_act: "mish", hidden_size: "big" }, /hidden_size is "big"[\s\S]*hidden_act "mish"/],
    [{ attention_sink_size: 4 }, /attention_sink_size 4 is not supported/],
    [{ hidden_size: "big" }, /hidden_size is "big", expected a positive whole number/],
    [
      { rope_parameters: { rope_type: "mrope", rope_theta: 1 } },
      /rope_parameters\.rope_type "mrope" is not supported; supported: "default"/,
    ],
    [{ num_hidden_layers: 3 }, /layers\.2\.input_layernorm\.weight \[32\] is missing/],
    [{ intermediate_size: 60 }, /gate_proj\.weight is \[56, 32\], the config wants \[60, 32\]/],
  ])("a config with %j is refused and leaves nothing behind", async (change, message) => {
    const device = await testDevice();
    const before = device.memory.stats.used;
    await expect(openModel(withConfig(change), device)).rejects.toThrow(message);
    expect(device.memory.stats.used).toBe(before);
  });
});
