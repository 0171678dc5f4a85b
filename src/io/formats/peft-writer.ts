import { byteView } from "../../util/bytes.ts";
import type { HostTensor } from "../../util/host-tensor.ts";
import { pythonJson } from "../json/python-json.ts";
import { PEFT_CONFIG, PEFT_WEIGHTS } from "./peft-names.ts";
import { type TensorEntry, writeSafetensors } from "./safetensors-writer.ts";

/**
 * The files of an adapter, byte for byte what PEFT 0.21 saves for the same tensors in f32.
 * @param config all its fields; `inference_mode` is written true, as PEFT does
 * @param floats fields whose numbers Python holds as floats
 * @param tensors by their whole names in the file
 */
export function peftFileContents(
  config: object,
  floats: readonly string[],
  tensors: ReadonlyMap<string, HostTensor>,
): Map<string, Uint8Array | string> {
  return new Map<string, Uint8Array | string>([
    [PEFT_CONFIG, peftConfigText(config, floats)],
    [PEFT_WEIGHTS, writeSafetensors(tensorEntries(tensors), { format: "pt" })],
  ]);
}

/** Tensors as the writer of safetensors takes them. @param tensors by their whole names in the file */
export function tensorEntries(tensors: ReadonlyMap<string, HostTensor>): TensorEntry[] {
  return [...tensors].map(([name, { shape, data }]) => {
    return { name, dtype: "F32", shape, data: byteView(data) };
  });
}

/** The text of `adapter_config.json`, byte for byte as PEFT 0.21 saves it, without a newline at the end. */
export function peftConfigText(config: object, floats: readonly string[]): string {
  return pythonJson({ ...config, inference_mode: true }, (key) => floats.includes(key));
}
