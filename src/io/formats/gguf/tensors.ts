import { LoraError } from "../../../util/fail.ts";
import type { FileSource } from "../../files/files.ts";
import { BLOCK_FORMATS, blockFormat } from "./block-formats.ts";
import type { GgufTensor } from "./header.ts";

/** The types whose values are read. */
const READ = Object.entries(BLOCK_FORMATS).flatMap(([name, format]) => ("decode" in format ? [name] : []));

/**
 * A tensor's values, row-major.
 * @throws LoraError of kind `unsupported` for a type that is not read
 */
export async function readGgufTensor(
  files: FileSource,
  name: string,
  { name: tensor, type, begin, end }: GgufTensor,
): Promise<Float32Array> {
  const { decode } = blockFormat(type);
  if (decode) return decode((await files.read(name, begin, end)).slice());
  const got = `${tensor} is ${type}; read are ${READ.join(", ")}`;
  throw new LoraError("unsupported", `${files.label}/${name}`, got, "export it again in one of these");
}
