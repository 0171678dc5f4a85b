import { describe, expect, test } from "vitest";
import {
  GGUF_MODEL_TYPES,
  ggufArchitecture,
  ggufName,
  moduleOfGguf,
  permuteRows,
} from "../../../src/io/formats/gguf/architectures.ts";
import { BLOCK_FORMATS, type BlockType, blockFormat } from "../../../src/io/formats/gguf/block-formats.ts";
import { parseGgufHeader, readGgufHeader } from "../../../src/io/formats/gguf/header.ts";
import { readGgufTensor } from "../../../src/io/formats/gguf/tensors.ts";
import { gguf } from "../../../src/io/formats/gguf/values.ts";
import { ggufBytes, planGguf, streamGguf } from "../../../src/io/formats/gguf/writer.ts";
import { concatBytes } from "../../../src/util/bytes.ts";
import { filesOf, fixture } from "../helpers.ts";

const NAME = "values.gguf";
const written = fixture(`gguf/${NAME}`);
const json = <T>(name: string) => JSON.parse(new TextDecoder().decode(fixture(`gguf/${name}`))) as T;
const facts = json<{
  sizes: Record<string, [id: number, elements: number, bytes: number]>;
  names: Record<string, Record<string, string | null>>;
  permuted: Record<string, number[]>;
}>("facts.json");
const values = Float32Array.from(json<number[]>("values.json"));
const parse = (file: Uint8Array) => parseGgufHeader(file, file.length, "file");

describe("what llama.cpp's Python package wrote", () => {
  test("is read with every kind of value", () => {
    const { version, metadata } = parse(written);
    expect(version).toBe(3);
    const own = Object.fromEntries(
      [...metadata].map(([key, { value }]) => [key.replace("test.", ""), value]),
    );
    expect(own).toEqual({
      ...{ "general.architecture": "llama", u8: 200, i8: -100, u16: 60_000, i16: -30_000 },
      ...{ u32: 4_000_000_000, i32: -2_000_000_000, f32: Math.fround(0.1), bool: true, string: "naïve 🙂" },
      ...{ u64: 2n ** 63n, i64: -(2n ** 62n), f64: 0.1, strings: ["a", "", "Ġthe"], numbers: [1, 2, -3] },
    });
  });

  test("has the same tensors here, and is encoded to the same bytes", async () => {
    const files = filesOf({ [NAME]: written });
    const { tensors } = await readGgufHeader(files, NAME);
    for (const type of ["F32", "F16", "BF16", "Q8_0"] as const) {
      const tensor = tensors.get(`${type.toLowerCase()}.weight`);
      if (!tensor) throw new Error(type);
      expect(tensor).toMatchObject({ type, shape: [2, 64] });
      const stored = written.slice(tensor.begin, tensor.end);
      expect(blockFormat(type).encode?.(values)).toEqual(stored);
      const read = await readGgufTensor(files, NAME, tensor);
      const step = { F32: 0, F16: 2 ** -11, BF16: 2 ** -8, Q8_0: 0.5 / 127 }[type] * 27;
      expect(Math.max(...read.map((value, i) => Math.abs(value - (values[i] ?? 0))))).toBeLessThanOrEqual(
        step,
      );
      expect(blockFormat(type).encode?.(read)).toEqual(stored);
    }
  });

  test("names types, tensors and the order of rows as it does", () => {
    const sizes = Object.entries(BLOCK_FORMATS).map(([name, { id, elements, bytes }]) => [
      name,
      [id, elements, bytes],
    ]);
    expect(Object.fromEntries(sizes)).toEqual(facts.sizes);
    expect(Object.keys(facts.names)).toEqual(GGUF_MODEL_TYPES);
    for (const [modelType, names] of Object.entries(facts.names)) {
      const architecture = ggufArchitecture(modelType);
      if (!architecture) throw new Error(modelType);
      for (const [path, name] of Object.entries(names)) {
        if (name === null) continue; // gemma 2 has no output layer of its own
        expect(ggufName(architecture, path), path).toBe(name);
        expect(moduleOfGguf(architecture, name)).toBe(path);
      }
    }
    for (const [sizes, order] of Object.entries(facts.permuted)) {
      const [heads = 0, rows = 0] = sizes.split(" ").map(Number);
      const own = Float32Array.from({ length: rows }, (_, i) => i);
      const out = permuteRows(own, { rows, heads, direction: "out" });
      expect([...out]).toEqual(order);
      expect(permuteRows(out, { rows, heads, direction: "in" })).toEqual(own);
    }
  });
});

describe("what we write", () => {
  const metadata = new Map([
    ["general.architecture", gguf.string("llama")],
    ["a.list", gguf.strings(["x", "y"])],
    ["a.number", gguf.f32(0.5)],
  ]);
  const specs = [
    { name: "one", type: "F32" as const, shape: [3] },
    { name: "two", type: "Q8_0" as const, shape: [2, 32] },
  ];
  const data = [new Uint8Array(12).fill(1), new Uint8Array(68).fill(2)];

  test("is read again, streamed or whole", async () => {
    const whole = ggufBytes(
      metadata,
      specs.map((spec, i) => ({ ...spec, data: data[i] as Uint8Array })),
    );
    const plan = planGguf(metadata, specs);
    const chunks: Uint8Array[] = [];
    for await (const chunk of streamGguf(plan, ({ name }) => [data[name === "one" ? 0 : 1] as Uint8Array])) {
      chunks.push(chunk);
    }
    expect(concatBytes(chunks)).toEqual(whole);
    expect(whole.length).toBe(plan.size);
    const read = parse(whole);
    expect(read.metadata).toEqual(metadata);
    expect([...read.tensors.values()]).toEqual(plan.tensors);
    expect(plan.tensors.every(({ begin }) => begin % 32 === 0)).toBe(true);
  });

  test("is refused where it cannot be", () => {
    const twice = [...specs, { name: "one", type: "Q8_0" as const, shape: [4, 31] }];
    expect(() => planGguf(metadata, twice)).toThrow(
      /2 problems:[\s\S]*two tensors[\s\S]*\[4,31\] cannot be Q8_0/,
    );
  });
});

/** A header with one tensor, by its parts. */
function file({
  version = 3,
  entries = [],
  shape = [2n],
  type = 0,
  offset = 0n,
  data = 32,
}: Partial<FileParts>) {
  const text = (value: string) => [u64(BigInt(value.length)), new TextEncoder().encode(value)];
  const parts = [
    ...[u32(0x46554747), u32(version), u64(1n), u64(BigInt(entries.length))],
    ...entries.flatMap(([key, kind, bytes]) => [...text(key), u32(kind), bytes]),
    ...[...text("w"), u32(shape.length), ...shape.map(u64), u32(type), u64(offset)],
  ];
  const header = concatBytes(parts);
  const padded = Math.ceil(header.length / 32) * 32;
  return concatBytes([header, new Uint8Array(padded - header.length + data)]);
}

interface FileParts {
  version: number;
  entries: [key: string, kind: number, bytes: Uint8Array][];
  shape: bigint[];
  type: number;
  offset: bigint;
  data: number;
}

const u32 = (value: number) => new Uint8Array(Uint32Array.of(value).buffer);
const u64 = (value: bigint) => new Uint8Array(BigUint64Array.of(value).buffer);

describe("a broken file", () => {
  test("is right where nothing is wrong", () => {
    expect(parse(file({})).tensors.get("w")).toMatchObject({ type: "F32", shape: [2] });
    expect(parse(file({ version: 2 })).version).toBe(2);
  });

  test.each<[string, Partial<FileParts>, RegExp]>([
    ["of version 1", { version: 1 }, /its version is 1; read are versions 2 and 3/],
    ["of a big-endian machine", { version: 0x03000000 }, /big-endian \(version 3\)/],
    ["of an unknown type", { type: 99 }, /w: the type 99 is unknown/],
    ["with too many axes", { shape: [1n, 1n, 1n, 1n, 1n] }, /w would have 5 axes/],
    ["with half a block", { type: 8, shape: [31n] }, /rows of \[31\] are no whole blocks of 32 \(Q8_0\)/],
    ["too large to count", { shape: [2n ** 40n, 2n ** 40n] }, /is too large/],
    ["with a size beyond numbers", { shape: [2n ** 63n] }, /beyond counting/],
    ["with data elsewhere", { offset: 32n }, /its data begin at 32, expected 0/],
    ["cut off", { data: 4 }, /but the file has only/],
    ["with a rest", { data: 64 }, /32 bytes after the last tensor/],
    ["of a bad alignment", { entries: [["general.alignment", 4, u32(24)]] }, /expected a power of two/],
    [
      "with a key twice",
      {
        entries: [
          ["a", 4, u32(1)],
          ["a", 4, u32(2)],
        ],
      },
      /a is there twice/,
    ],
    ["with an unknown kind", { entries: [["a", 13, u32(1)]] }, /a is of an unknown kind/],
    ["with a list of lists", { entries: [["a", 9, concatBytes([u32(9), u64(1n)])]] }, /a is a list of lists/],
    ["with a third truth value", { entries: [["a", 7, Uint8Array.of(2)]] }, /expected 0 or 1/],
  ])("%s is refused", (_, parts, message) => {
    expect(() => parse(file(parts))).toThrow(message);
  });

  test("that ends anywhere is refused, and a long list is never made before its bytes are there", async () => {
    for (let length = 0; length < written.length - 32; length += 7) {
      const files = filesOf({ [NAME]: written.slice(0, length) });
      await expect(readGgufHeader(files, NAME), String(length)).rejects.toThrow(
        /too few|ends within|has only/,
      );
    }
    const list = concatBytes([u32(4), u64(2n ** 40n)]);
    const files = filesOf({ [NAME]: file({ entries: [["a", 9, list]] }) });
    await expect(readGgufHeader(files, NAME)).rejects.toThrow(/ends within its metadata/);
  });

  test("of a type that is not read says which are", async () => {
    const files = filesOf({ [NAME]: file({ type: 2, shape: [32n], data: 32 }) });
    const { tensors } = await readGgufHeader(files, NAME);
    const [tensor] = tensors.values();
    if (!tensor) throw new Error("no tensor");
    await expect(readGgufTensor(files, NAME, tensor)).rejects.toThrow(
      /w is Q4_0; read are F32, F16, Q8_0, BF16/,
    );
  });

  test("has no type that is not in the table", () => {
    const types = Object.keys(BLOCK_FORMATS) as BlockType[];
    expect(types.filter((type) => blockFormat(type).bytes < 1)).toEqual([]);
  });
});
