import type { Adapter } from "../../src/adapters/adapter.ts";
import { isLora } from "../../src/adapters/lora/lora.ts";
import { castToFloat } from "../../src/kernels/cast.ts";
import type { Linear } from "../../src/nn/linear.ts";
import { rowNormsReference } from "../reference/row-norms.ts";

/** ‖W + s B A‖ of each row, of all sites in turn, in f64. */
async function normsOf({ method, sites }: Adapter): Promise<Float64Array[]> {
  if (!isLora(method)) throw new Error("no LoRA");
  const norms = sites.map(async ({ module, tensors: { lora_A: A, lora_B: B } }) => {
    const { weight, inFeatures, path } = module as Linear;
    const values = [castToFloat(weight), A!, B!].map((tensor) => tensor.read());
    const [w, a, b] = (await Promise.all(values)) as [Float32Array, Float32Array, Float32Array];
    return rowNormsReference(w, { A: a, B: b, columns: inFeatures, scale: method.scaleOf(path) });
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
