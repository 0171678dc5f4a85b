import { FP4, NF4 } from "../../../kernels/code-tables.ts";
import { decodingOf } from "../../../kernels/formats.ts";
import { concatBytes, float32View } from "../../../util/bytes.ts";
import { fail } from "../../../util/fail.ts";
import { parseJson } from "../../json/parse.ts";
import {
  literal,
  nullable,
  numberIn,
  object,
  pair,
  readShape,
  type Shaped,
  whole,
} from "../../json/shape.ts";
import type { CheckpointTensor } from "../checkpoint.ts";
import type { QuantisationMethod, StoredMatrix } from "./method.ts";
import { made, type Parts, packedOf, stored } from "./parts.ts";
import type { StoredLayer } from "./stored-layer.ts";

/** Values of a matrix. */
const MOST = Number.MAX_SAFE_INTEGER;

/** Bytes of the JSON of a state: it takes two hundred. */
const MOST_STATE = 2 ** 16;

/** Names of the JSON of a matrix's state, by the type of its codes. */
export const STATES = {
  nf4: "weight.quant_state.bitsandbytes__nf4",
  fp4: "weight.quant_state.bitsandbytes__fp4",
};

/**
 * bitsandbytes as transformers saves it: 4 bits (`QuantState.as_dict(packed=True)` in functional.py), also with double
 * quantisation, and 8 bits (`Linear8bitLt` in nn/modules.py).
 */
export const bitsandbytes: QuantisationMethod = {
  names: ["bitsandbytes"],
  parts: [
    ...["weight", "SCB", "weight_format", ...Object.values(STATES)],
    ...["absmax", "quant_map", "nested_absmax", "nested_quant_map"].map((name) => `weight.${name}`),
  ],
  open: () => (layer) => {
    const is8Bit = layer.part("SCB") ?? layer.part("weight_format") ?? layer.part("weight")?.dtype === "I8";
    return is8Bit ? read8Bit(layer) : read4Bit(layer);
  },
};

/** value = code · SCB / 127, with a scale for each row. */
function read8Bit(layer: StoredLayer): StoredMatrix | undefined {
  const codes = layer.need("weight", { dtypes: ["I8"], shape: [0, 0] });
  const [rows = 0, columns = 0] = codes?.shape ?? [];
  const scales = layer.need("SCB", { dtypes: ["F32"], shape: [rows] });
  const order = layer.part("weight_format");
  if (!codes || !scales) return undefined;
  const scale = async () => float32View(await layer.read(scales)).map((largest) => largest / 127);
  const words = stored(layer, codes);
  const parts: Parts = {
    async words(start, end) {
      if (order && start === 0) await checkOrder(layer, order);
      return words(start, end);
    },
    scales: made(scale),
  };
  const packed = packedOf("int8", decodingOf("int8", { block: columns }), columns, parts);
  return { codes, shape: [rows, columns], packed };
}

/** `LINEAR_8BIT_WEIGHTS_FORMAT_MAPPING`: the others are orders that products on some GPUs want. */
async function checkOrder(layer: StoredLayer, tensor: CheckpointTensor): Promise<void> {
  const [order] = await layer.read(tensor);
  if (order !== 0) fail(tensor.name, `is ${order}, an order other than row after row (0)`, RESAVE);
}

const RESAVE = "save the model again with a bitsandbytes of 2024 or later";

const STATE = object({
  quant_type: literal("nf4", "fp4"),
  blocksize: whole(MOST),
  shape: pair(whole(MOST), whole(MOST)),
  nested_blocksize: nullable(whole(MOST)),
  nested_offset: nullable(numberIn()),
});

/** value = table[code] · absmax, in blocks that count through the matrix; the first of two codes in a byte's high half. */
async function read4Bit(layer: StoredLayer): Promise<StoredMatrix | undefined> {
  const state = await readState(layer);
  if (!state) return undefined;
  const { quant_type: format, blocksize: block, shape } = state;
  const count = shape[0] * shape[1];
  const blocks = Math.ceil(count / block);
  const codes = codesOf(layer, shape);
  const isNested = layer.part("weight.nested_absmax") !== undefined;
  const dtypes = [isNested ? "U8" : "F32"] as const;
  const absmax = layer.need("weight.absmax", { dtypes, shape: [blocks] });
  const map = layer.need("weight.quant_map", { dtypes: ["F32"], shape: [16] });
  const nested = isNested ? nestedParts(layer, state, blocks) : undefined;
  if (!codes || !absmax || !map || (isNested && !nested)) return undefined;
  const words = stored(layer, codes);
  const parts: Parts = {
    async words(start, end) {
      if (start === 0) checkMap(map.name, float32View(await layer.read(map)), format === "nf4" ? NF4 : FP4);
      return words(start, end);
    },
    scales: stored(layer, absmax),
    zeros: nested && made(nested),
  };
  const decoding = decodingOf(format, { block, scales: isNested ? "nested" : "f32" });
  return { codes, shape, packed: packedOf(format, decoding, shape[1], parts) };
}

/** The tensor of JSON that says how the others are to be read. */
async function readState(layer: StoredLayer): Promise<Shaped<typeof STATE> | undefined> {
  const [tensor, other] = Object.values(STATES).flatMap((name) => layer.part(name) ?? []);
  if (!tensor)
    return layer.refuse(`${layer.path}.weight.quant_state.bitsandbytes__nf4 (or …__fp4) is missing`);
  if (other) return layer.refuse(`${tensor.name} and ${other.name} contradict each other`);
  if (tensor.dtype !== "U8" || tensor.end - tensor.begin > MOST_STATE)
    return layer.refuse(
      `${tensor.name} is ${tensor.dtype} [${tensor.shape.join(", ")}], expected JSON in U8`,
    );
  const text = new TextDecoder().decode(await layer.read(tensor));
  const state = await layer.attempt(async () => {
    return readShape(STATE, parseJson(text, tensor.name), tensor.name, "");
  });
  if (!state) return undefined;
  const { blocksize, quant_type } = state;
  if (blocksize === 0 || blocksize % 4 !== 0)
    return layer.refuse(`${tensor.name}: blocksize is ${blocksize}, expected a multiple of 4`);
  if (!tensor.name.endsWith(quant_type)) return layer.refuse(`${tensor.name} says that it is ${quant_type}`);
  return state;
}

/** The codes: any type will do (`bnb_4bit_quant_storage`), if it has as many bytes. */
function codesOf(layer: StoredLayer, shape: readonly [number, number]): CheckpointTensor | undefined {
  const codes = layer.part("weight");
  if (!codes) return layer.refuse(`${layer.path}.weight is missing`);
  const [bytes, wanted] = [codes.end - codes.begin, Math.ceil((shape[0] * shape[1]) / 2)];
  if (bytes === wanted) return codes;
  return layer.refuse(
    `${codes.name} has ${bytes} bytes, and [${shape.join(", ")}], as its quant_state says, would have ${wanted} in 4 bits`,
  );
}

/** Blocks that share a second scale. */
export const NESTED_BLOCK = 256;

/** What scales that are quantised themselves are read with. */
function nestedParts(
  layer: StoredLayer,
  { nested_blocksize: block, nested_offset: offset }: Shaped<typeof STATE>,
  blocks: number,
): (() => Promise<Float32Array>) | undefined {
  const shape = [Math.ceil(blocks / NESTED_BLOCK)];
  const seconds = layer.need("weight.nested_absmax", { dtypes: ["F32"], shape });
  const map = layer.need("weight.nested_quant_map", { dtypes: ["F32"], shape: [256] });
  if (block !== NESTED_BLOCK || offset === null)
    return layer.refuse(
      `${layer.path}: nested_blocksize ${block} and nested_offset ${offset}, expected ${NESTED_BLOCK} and a number`,
    );
  if (!seconds || !map) return undefined;
  return async () => {
    const parts = [bytesOf(offset), await layer.read(map), await layer.read(seconds)];
    return float32View(concatBytes(parts));
  };
}

const bytesOf = (value: number) => new Uint8Array(Float32Array.of(value).buffer);

/** The values of codes are those of the format, to the last bits: other versions computed them otherwise. */
function checkMap(name: string, map: Float32Array, table: Float32Array): void {
  const at = map.findIndex((value, i) => !(Math.abs(value - (table[i] as number)) < 1e-6));
  if (at < 0) return;
  fail(name, `has ${map[at]} for code ${at}, where ${table[at]} was expected`, "quantise the model again");
}
