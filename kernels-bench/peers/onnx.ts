// Writes the few ONNX messages that a model of one operator needs (onnx.proto3, IR version 8), as protocol buffers.

/** An operator with its inputs and outputs by name. */
export interface OnnxNode {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Empty for ONNX's own operators. */
  readonly domain?: string;
  readonly attributes?: Readonly<Record<string, number | { readonly float: number }>>;
}

/** A constant of the model. */
export interface OnnxTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: Float32Array<ArrayBuffer> | BigInt64Array<ArrayBuffer>;
}

/** A model that has constants for inputs, and outputs that the runtime infers the shapes of. */
export interface OnnxModel {
  readonly nodes: readonly OnnxNode[];
  readonly constants: readonly OnnxTensor[];
  readonly outputs: readonly string[];
}

const TYPES = { FLOAT: 1, INT64: 7 } as const;
const ATTRIBUTE_TYPES = { FLOAT: 1, INT: 2 } as const;
const OPSET = 17;

/** The model as a file. */
export function encodeOnnx({ nodes, constants, outputs }: OnnxModel): Uint8Array {
  const graph = concat([
    ...nodes.map((node) => message(1, encodeNode(node))),
    text(2, "graph"),
    ...constants.map((constant) => message(5, encodeTensor(constant))),
    ...outputs.map((name) => message(12, encodeValueInfo(name))),
  ]);
  const domains = ["", ...new Set(nodes.flatMap(({ domain }) => domain ?? []))];
  const opsets = domains.map((domain) =>
    message(8, concat([text(1, domain), integer(2, domain === "" ? OPSET : 1)])),
  );
  return concat([integer(1, 8), text(2, "webgpu-lora bench"), message(7, graph), ...opsets]);
}

function encodeNode({ op, inputs, outputs, domain = "", attributes = {} }: OnnxNode): Uint8Array {
  return concat([
    ...inputs.map((name) => text(1, name)),
    ...outputs.map((name) => text(2, name)),
    text(4, op),
    ...Object.entries(attributes).map(([name, value]) => message(5, encodeAttribute(name, value))),
    text(7, domain),
  ]);
}

function encodeAttribute(name: string, value: number | { readonly float: number }): Uint8Array {
  return typeof value === "number"
    ? concat([text(1, name), integer(3, value), integer(20, ATTRIBUTE_TYPES.INT)])
    : concat([text(1, name), float(2, value.float), integer(20, ATTRIBUTE_TYPES.FLOAT)]);
}

function encodeTensor({ name, shape, values }: OnnxTensor): Uint8Array {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return concat([
    ...shape.map((size) => integer(1, size)),
    integer(2, values instanceof Float32Array ? TYPES.FLOAT : TYPES.INT64),
    text(8, name),
    message(9, bytes),
  ]);
}

function encodeValueInfo(name: string): Uint8Array {
  const tensorType = integer(1, TYPES.FLOAT);
  return concat([text(1, name), message(2, message(1, tensorType))]);
}

const WIRE = { VARINT: 0, LENGTH: 2, FIXED32: 5 } as const;

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 0x7f) {
    bytes.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  return [...bytes, rest];
}

const key = (field: number, wire: number) => varint(field * 8 + wire);
const integer = (field: number, value: number) =>
  Uint8Array.from([...key(field, WIRE.VARINT), ...varint(value)]);
const text = (field: number, value: string) => message(field, new TextEncoder().encode(value));

function float(field: number, value: number): Uint8Array {
  const bytes = new Uint8Array(Float32Array.of(value).buffer);
  return concat([Uint8Array.from(key(field, WIRE.FIXED32)), bytes]);
}

function message(field: number, content: Uint8Array): Uint8Array {
  return concat([Uint8Array.from([...key(field, WIRE.LENGTH), ...varint(content.length)]), content]);
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
