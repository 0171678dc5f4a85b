import { type FileSource, memoryFiles } from "../../src/io/files/files.ts";
import { openCheckpoint } from "../../src/io/formats/checkpoint.ts";
import { type TensorEntry, writeSafetensors } from "../../src/io/formats/safetensors-writer.ts";
import { float32View } from "../../src/util/bytes.ts";

/** Columns of every matrix: one block of a k-quant. */
const WIDTH = 256;

/**
 * A small Llama in F32 with rows of 256 values that computes the same: what is added is zero, heads among it, and the norms
 * make up for the mean over more values.
 */
export async function widened(files: FileSource): Promise<FileSource> {
  const { config, tensors, read } = await openCheckpoint(files);
  const number = (name: string) => config[name] as number;
  const hidden = number("hidden_size");
  const headDim = hidden / number("num_attention_heads");
  const heads = WIDTH / headDim;
  const kvHeads = (heads * number("num_key_value_heads")) / number("num_attention_heads");
  const rowsOf = (name: string, rows: number) => {
    if (/q_proj/.test(name)) return heads * headDim;
    if (/[kv]_proj/.test(name)) return kvHeads * headDim;
    return /embed_tokens|lm_head/.test(name) ? rows : WIDTH;
  };
  const entries: TensorEntry[] = [];
  for (const tensor of tensors.values()) {
    const values = float32View((await read(tensor)).slice());
    const [rows = 0, columns = 1] = tensor.shape;
    const isNorm = tensor.shape.length === 1;
    const shape = isNorm ? [WIDTH] : [rowsOf(tensor.name, rows), WIDTH];
    const own = new Float32Array((shape[0] ?? 0) * (shape[1] ?? 1));
    // The mean of squares is that of the model's own values times hidden / 256.
    if (isNorm) own.set(values.map((value) => value * Math.sqrt(hidden / WIDTH)));
    else
      for (let row = 0; row < rows; row++)
        own.set(values.subarray(row * columns, (row + 1) * columns), row * WIDTH);
    entries.push({ name: tensor.name, dtype: "F32", shape, data: new Uint8Array(own.buffer) });
  }
  const wide = {
    ...{ ...config, hidden_size: WIDTH, intermediate_size: WIDTH, head_dim: headDim },
    ...{ num_attention_heads: heads, num_key_value_heads: kvHeads },
    rms_norm_eps: (number("rms_norm_eps") * hidden) / WIDTH,
  };
  const others = await Promise.all(
    ["tokenizer.json", "tokenizer_config.json", "generation_config.json"].map(async (name) => {
      const size = await files.size(name);
      return size === undefined ? [] : [[name, await files.read(name, 0, size)] as const];
    }),
  );
  const json = new TextEncoder().encode(JSON.stringify(wide));
  const weights = writeSafetensors(entries, { format: "pt" });
  return memoryFiles(
    "widened",
    new Map([...others.flat(), ["config.json", json] as const, ["model.safetensors", weights] as const]),
  );
}
