import type { FileSource } from "../../src/io/files/files.ts";
import { type BlockType, tensorBytes } from "../../src/io/formats/gguf/block-formats.ts";
import { readGgufHeader } from "../../src/io/formats/gguf/header.ts";
import { readGgufTensor } from "../../src/io/formats/gguf/tensors.ts";
import { planGguf, streamGguf } from "../../src/io/formats/gguf/writer.ts";
import { concatBytes } from "../../src/util/bytes.ts";
import { ENCODED, type EncodedType, encodeBlocks } from "./block-encoders.ts";

/** Which type a matrix gets; undefined where it stays. */
export type ChooseType = (name: string) => EncodedType | undefined;

/** As llama-quantize mixes them in its Q4_K_M: more bits for the values and the layers' outputs, and for the embedding. */
export const MIXED: ChooseType = (name) => {
  if (/token_embd|output\.weight|attn_v|ffn_down/.test(name)) return "Q6_K";
  return /attn_output/.test(name) ? "Q5_K" : "Q4_K";
};

/** A GGUF model in F32 with its matrices in other types, where their rows are whole blocks. */
export async function requantiseFile(
  files: FileSource,
  name: string,
  choose: ChooseType,
): Promise<Uint8Array> {
  const { metadata, tensors } = await readGgufHeader(files, name);
  const specs = [...tensors.values()].map(({ name: own, type, shape }) => {
    const chosen = shape.length === 2 ? choose(own) : undefined;
    const fits = chosen !== undefined && tensorBytes(chosen, shape) !== undefined;
    return { name: own, shape, type: fits ? chosen : type };
  });
  const chunks: Uint8Array[] = [];
  const plan = planGguf(metadata, specs);
  const contents = new Map<string, Uint8Array>();
  for (const spec of specs) {
    const source = tensors.get(spec.name);
    if (!source) throw new Error(spec.name);
    const stored = await files.read(name, source.begin, source.end);
    const values = isEncoded(spec.type) ? await readGgufTensor(files, name, source) : undefined;
    contents.set(spec.name, values && isEncoded(spec.type) ? encodeBlocks(spec.type, values) : stored);
  }
  for await (const chunk of streamGguf(plan, ({ name: own }) => [contents.get(own) as Uint8Array]))
    chunks.push(chunk);
  return concatBytes(chunks);
}

function isEncoded(type: BlockType): type is EncodedType {
  return ENCODED.some((own) => own === type);
}
