import { SafeTensor } from "safetensors";
import { describe, expect, test } from "vitest";
import { parseHeader, readHeader, type TensorInfo } from "../../../src/io/formats/safetensors.ts";
import {
  planSafetensors,
  type TensorEntry,
  writeSafetensors,
} from "../../../src/io/formats/safetensors-writer.ts";
import { uint16View } from "../../../src/util/bytes.ts";
import { decodeF16 } from "../../../src/util/half.ts";
import { errorOf, filesOf, fixture, safetensorsOf, utf8 } from "../helpers.ts";

const ADAPTER = "safetensors/adapter.safetensors";
const DTYPES = "safetensors/dtypes.safetensors";

function parse(file: Uint8Array) {
  return parseHeader(file, file.length, "file");
}

function entriesOf(file: Uint8Array): TensorEntry[] {
  return [...parse(file).tensors.values()].map((info) => ({ ...info, data: dataOf(file, info) }));
}

function dataOf(file: Uint8Array, { begin, end }: TensorInfo): Uint8Array {
  return file.slice(begin, end);
}

describe("reader", () => {
  test("reads an adapter as Python wrote it", () => {
    const file = fixture(ADAPTER);
    const { metadata, tensors, dataStart } = parse(file);
    expect(metadata).toEqual({ format: "pt" });
    expect(tensors.size).toBe(22);
    const first = tensors.get("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight")!;
    expect(first).toMatchObject({ dtype: "F32", shape: [2, 4], begin: dataStart, end: dataStart + 32 });
  });

  test("reads every dtype and awkward name", () => {
    const file = fixture(DTYPES);
    const { tensors } = parse(file);
    expect(tensors.get("empty")).toMatchObject({ shape: [0, 4] });
    expect(tensors.get("")).toMatchObject({ shape: [] });
    expect(tensors.get("__proto__")).toMatchObject({ shape: [], dtype: "F32" });
    expect(tensors.has('é\n"\u0001\u007f/\\')).toBe(true);
    expect([...decodeF16(uint16View(dataOf(file, tensors.get("b.F16")!)))]).toEqual([0, 1, 2]);
  });

  test("readHeader takes a header longer than its first read", async () => {
    const tensors = Array.from({ length: 2000 }, (_, i) => ({
      name: `layer.${i}`,
      dtype: "U8" as const,
      shape: [1],
      data: Uint8Array.of(i % 256),
    }));
    const file = writeSafetensors(tensors);
    const header = await readHeader(filesOf({ big: file }), "big");
    expect(header).toEqual(parse(file));
    expect(header.dataStart).toBeGreaterThan(32 * 1024);
  });

  test("a second reader agrees", () => {
    const file = fixture(DTYPES);
    const other = new SafeTensor(file.slice());
    for (const info of parse(file).tensors.values()) {
      expect(other.getTensor(info.name)).toEqual(dataOf(file, info));
    }
  });

  test("a second reader reads what we wrote", () => {
    const file = writeSafetensors([{ name: "w", dtype: "F32", shape: [2], data: new Uint8Array(8).fill(7) }]);
    expect([...new SafeTensor(file.slice()).getTensor("w")]).toEqual(Array(8).fill(7));
  });
});

describe("what the reader refuses", () => {
  const a = '"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}';
  const four = new Uint8Array(4);
  const entry = (name: string, dtype: string, shape: string, offsets: string) =>
    `"${name}":{"dtype":"${dtype}","shape":${shape},"data_offsets":${offsets}}`;

  test.each([
    ["an empty file", new Uint8Array(0), "0 bytes are too few"],
    ["a header beyond the file", safetensorsOf("{}").subarray(0, 9), "only 9 bytes"],
    ["a huge header", Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 1), "the limit is 100000000"],
    ["an empty header", safetensorsOf(""), 'must begin with "{"'],
    ["a web page", utf8("<!doctype html>"), 'it is a text that begins with "<!doctype html>"'],
    ["a blank before the header", safetensorsOf(` {${a}}`, four), 'must begin with "{"'],
    ["a byte order mark", safetensorsOf(`\ufeff{${a}}`, four), 'must begin with "{"'],
    ["no UTF-8", safetensorsOf(Uint8Array.of(0x7b, 0xff, 0x7d)), "not UTF-8"],
    ["no JSON", safetensorsOf("{a}"), "invalid JSON"],
    ["a name twice", safetensorsOf(`{${a},${a}}`, four), 'key "a" occurs twice'],
    [
      "a dtype twice",
      safetensorsOf(`{${a.replace("{", '{"dtype":"U8",')}}`, four),
      'key "a.dtype" occurs twice',
    ],
    ["a list as tensor", safetensorsOf('{"a":[]}'), "a: data_offsets undefined"],
    ["null as tensor", safetensorsOf('{"a":null}'), "a: data_offsets undefined"],
    [
      "an unknown dtype",
      safetensorsOf(`{${entry("a", "F31", "[1]", "[0,4]")}}`, four),
      'dtype "F31" is unknown',
    ],
    ["a dtype of Object", safetensorsOf(`{${entry("a", "toString", "[1]", "[0,4]")}}`, four), "is unknown"],
    ["a negative size", safetensorsOf(`{${entry("a", "F32", "[-1]", "[0,4]")}}`, four), "shape [-1] should"],
    ["a fraction", safetensorsOf(`{${entry("a", "F32", "[0.5]", "[0,4]")}}`, four), "shape [0.5] should"],
    ["a shape too large", safetensorsOf(`{${entry("a", "F32", "[2]", "[0,4]")}}`, four), "takes 8 bytes"],
    [
      "an overflowing shape",
      safetensorsOf(`{${entry("a", "F32", "[9e15,9e15,9e15]", "[0,4]")}}`, four),
      "is too large",
    ],
    [
      "an overflowing shape with a 0 behind it",
      safetensorsOf(`{${entry("a", "F32", "[4294967296,4294967296,0]", "[0,0]")}}`),
      "F32 [4294967296,4294967296,0] is too large",
    ],
    [
      "numbers in other spellings",
      safetensorsOf(`{${entry("a", "F32", "[1.0,1e0]", "[-0,4]")}}`, four),
      "- 1e0 is a whole number that is not written in digits alone",
    ],
    ["half a character in a name", safetensorsOf('{"\\ud800":{}}'), "expected whole characters"],
    ["half a character elsewhere", safetensorsOf('{"a":{"x":"\\ud800"}}'), "expected whole characters"],
    ["a number beyond 64 bits", safetensorsOf('{"a":{"x":1e400}}'), "expected a number of 64 bits"],
    ["a very deep header", safetensorsOf(`{"a":${"[".repeat(1e5)}${"]".repeat(1e5)}}`), "nested deeper"],
    [
      "offsets reversed",
      safetensorsOf(`{${entry("a", "F32", "[1]", "[4,0]")}}`, four),
      "end before they begin",
    ],
    ["three offsets", safetensorsOf(`{${entry("a", "F32", "[1]", "[0,4,4]")}}`, four), "[begin, end]"],
    ["offsets out of range", safetensorsOf(`{${a}}`, four.subarray(1)), "reach beyond the 3 data bytes"],
    ["bytes after the data", safetensorsOf(`{${a}}`, new Uint8Array(6)), "2 bytes after the last tensor"],
    [
      "a gap",
      safetensorsOf(`{${entry("b", "U8", "[1]", "[1,2]")}}`, new Uint8Array(2)),
      "b: a gap of 1 bytes",
    ],
    [
      "an overlap",
      safetensorsOf(`{${a},${entry("b", "U8", "[3]", "[2,5]")}}`, new Uint8Array(5)),
      "b: its data overlap the tensor before by 2 bytes",
    ],
    ["metadata no object", safetensorsOf('{"__metadata__":[]}'), "__metadata__ is no object"],
    [
      "a number in metadata",
      safetensorsOf('{"__metadata__":{"n":1}}'),
      "__metadata__.n is 1, expected a string",
    ],
  ])("%s", async (_, file, message) => {
    const error = await errorOf(() => parse(file));
    expect(error.message).toContain(message);
    expect(error.where).toBe("file");
  });

  test("everything at once", async () => {
    const header = `{"__metadata__":{"n":1},${entry("x", "F31", "[1]", "[0,4]")},${entry("y", "F32", "[-2]", "[4,2]")}}`;
    const { message } = await errorOf(() => parse(safetensorsOf(header, four)));
    for (const part of ["4 problems", "__metadata__.n", "x: dtype", "y: shape", "y: data_offsets"]) {
      expect(message).toContain(part);
    }
  });

  test("nothing, where the file is sound", () => {
    expect(parse(safetensorsOf("{}")).tensors.size).toBe(0);
    expect(parse(safetensorsOf('{"__metadata__":null}')).metadata).toEqual({}); // as MLX writes it
    expect(parse(safetensorsOf(`{${a}}\n\n `, four)).tensors.size).toBe(1);
    const empties = `{${entry("e", "F32", "[0]", "[0,0]")},${a},${entry("f", "I64", "[3,0]", "[4,4]")}}`;
    expect(parse(safetensorsOf(empties, four)).tensors.size).toBe(3);
  });
});

describe("writer", () => {
  test.each([ADAPTER, DTYPES, "safetensors/empty.safetensors"])("%s: the bytes that Python wrote", (name) => {
    const file = fixture(name);
    const { metadata } = parse(file);
    const shuffled = entriesOf(file).sort(
      (x, y) => x.data.length - y.data.length || (x.name > y.name ? -1 : 1),
    );
    const hasMetadata = Object.keys(metadata).length > 0;
    expect(writeSafetensors(shuffled, hasMetadata ? metadata : undefined)).toEqual(file);
  });

  test("metadata given but empty", () => {
    const file = fixture("safetensors/empty_metadata.safetensors");
    expect(writeSafetensors(entriesOf(file), {})).toEqual(file);
  });

  test("a plan streams to the same bytes", () => {
    const file = fixture(DTYPES);
    const { header, tensors, size } = planSafetensors(parse(file).tensors.values());
    expect(size).toBe(file.length);
    expect(header).toEqual(file.subarray(0, header.length));
    expect(new Map(tensors.map((info) => [info.name, info]))).toEqual(parse(file).tensors);
  });

  test("refuses what no reader would take, all at once", async () => {
    const data = new Uint8Array(4);
    const bad = [
      { name: "x", dtype: "F32" as const, shape: [1], data },
      { name: "x", dtype: "F32" as const, shape: [2], data },
      { name: "__metadata__", dtype: "F32" as const, shape: [1], data },
      { name: "z", dtype: "F32" as const, shape: [-1], data },
    ];
    const { message } = await errorOf(() => writeSafetensors(bad));
    expect(message).toContain("two tensors have this name");
    expect(message).toContain("reserved name");
    expect(message).toContain("shape [-1]");
    expect(message).toContain("x: 4 bytes of data, but F32 [2] takes 8");
  });
});

test.each([
  ["a long string", `{"${"x".repeat(2e7)}`],
  ["deep lists", `{"a":${"[".repeat(2e6)}`],
  ["deep objects", `{"a":${'{"a":'.repeat(1e6)}1${"}".repeat(1e6)}}`],
])("%s cannot exhaust the stack", async (_, header) => {
  expect((await errorOf(() => parse(safetensorsOf(header)))).where).toBe("file");
});

test("utf8 names survive a round trip", () => {
  const file = writeSafetensors([{ name: "größe.重み", dtype: "U8", shape: [2], data: utf8("ok") }]);
  expect([...parse(file).tensors.keys()]).toEqual(["größe.重み"]);
});
