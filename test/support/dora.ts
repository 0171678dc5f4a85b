import type { Adapter } from "../../src/adapters/adapter.ts";
import { isLora } from "../../src/adapters/lora/lora.ts";
import { castToFloat } from "../../src/kernels/cast.ts";
import type { Leaf } from "../../src/nn/module.ts";
import { transpose } from "../../src/util/transpose.ts";
import { rowNormsReference } from "../reference/row-norms.ts";

/** ‖W + s B A‖ of each row, of an embedding's columns, of all sites in turn, in f64. */
async function normsOf({ method, sites }: Adapter): Promise<Float64Array[]> {
  if (!isLora(method)) throw new Error("no LoRA");
  const norms = sites.map(async ({ module, tensors }) => {
    const scale = method.scaleOf(module.path);
    const { lora_A, lora_B, lora_embedding_A, lora_embedding_B } = tensors;
    const { weight } = (module as Leaf).tensors;
    const read = [castToFloat(weight!), (lora_A ?? lora_embedding_A)!, (lora_B ?? lora_embedding_B)!];
    const [w, A, B] = (await Promise.all(read.map((tensor) => tensor.read()))) as [
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    const { rows, columns } = weight!;
    if (lora_A) return rowNormsReference(w, { A, B, columns, scale });
    // The table lies the other way round, and so does its A `[V, r]`.
    const r = A.length / rows;
    return rowNormsReference(transpose(w, rows, columns), {
      A: transpose(A, rows, r),
      B,
      columns: rows,
      scale,
    });
  });
  return Promise.all(norms);
}

/** Gives the magnitudes such values, after lora_A or lora_B was changed, that m / ‖W + s B A‖ stays what it is now. */
export async function holdNorms(adapter: Adapter): Promise<(changed: string) => Promise<void>> {
  const magnitudes = adapter.sites.map(({ tensors }) => tensors.lora_magnitude_vector!);
  const before = await normsOf(adapter);
  const values = await Promise.all(magnitudes.map((tensor) => tensor.read()));
  return async (changed) => {
    if (changed.endsWith("magnitude_vector")) return;
    const after = await normsOf(adapter);
    for (const [i, tensor] of magnitudes.entries())
      tensor.write(Float32Array.from(values[i]!, (m, row) => (m / before[i]![row]!) * after[i]![row]!));
  };
}
