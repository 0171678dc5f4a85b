import { decodingOf } from "../../../kernels/formats.ts";
import type { CheckpointTensor } from "../checkpoint.ts";
import type { QuantisationMethod, StoredMatrix } from "./method.ts";
import { packedOf, stored } from "./parts.ts";
import type { Size } from "./scale-grid.ts";
import type { StoredLayer } from "./stored-layer.ts";

/** Values that share a power of two (OCP Microscaling Formats 1.0). */
export const MX_BLOCK = 32;

/**
 * The layout of gpt-oss: bytes of two values each in blocks of 16, `[out, in / 32, 16]`, with an exponent for each
 * (`_convert_moe_packed_tensors` in integrations/mxfp4.py of transformers). Parameters that are stacks of matrices, one for each
 * expert, have one more axis before these and become one below the other; that they lie as `[out, in]` is not so of the same
 * parameters where they are not quantised.
 */
export const mxfp4: QuantisationMethod = {
  names: ["mxfp4"],
  parts: ["blocks", "scales"],
  ofTensors: "_",
  open: () => (layer) => {
    const isStack = layer.part("blocks")?.shape.length === 4;
    const codes = layer.need("blocks", {
      dtypes: ["U8"],
      shape: [...(isStack ? [0] : []), 0, 0, MX_BLOCK / 2],
    });
    if (!codes) return undefined;
    const outer = codes.shape.slice(0, -1);
    const scales = layer.need("scales", { dtypes: ["U8"], shape: outer });
    const rows = outer.slice(0, -1).reduce((product, size) => product * size, 1);
    return scales && mxfp4Matrix(layer, [rows, (outer.at(-1) ?? 0) * MX_BLOCK], codes, scales);
  },
};

/** value = E2M1[code] · 2^(exponent − 127); of two codes in a byte the first is in its low half. */
export function mxfp4Matrix(
  layer: StoredLayer,
  shape: Size,
  codes: CheckpointTensor,
  scales: CheckpointTensor,
): StoredMatrix {
  const decoding = decodingOf("mxfp4", { block: MX_BLOCK, scales: "e8m0" });
  const parts = { words: stored(layer, codes), scales: stored(layer, scales) };
  return { codes, shape, packed: packedOf("mxfp4", decoding, shape[1], parts) };
}
