import type { Device } from "../gpu/device.ts";
import { elementCount, fromArray, type Tensor } from "../gpu/tensor.ts";
import { type Fastest, fastestOf } from "./fastest.ts";
import type { Decoding } from "./formats.ts";
import { type Layout, type MatmulVariant, matmul, matmulClass, matmulVariants } from "./matmul.ts";
import { blankWeight, partsOf, type Weight } from "./weight.ts";

/** A product whose fastest variant is wanted. */
export interface Product {
  /** Which operand is stored transposed. */
  layout: Layout;
  /** Rows of the result. */
  m: number;
  /** Columns of the result. */
  n: number;
  /** Length of the sums. */
  k: number;
  /** How B is read. */
  decoding: Decoding;
}

/** What was measured for one class of products. */
export type TunedProduct = Product & Fastest<MatmulVariant>;

/**
 * Measures the variants of {@link matmul} on the classes of these products and makes the fastest the device's choice.
 * Takes about a second a class, most of it for compiling. The choices hold until the device is closed; saving is
 * `device.choices.save()`.
 */
export async function tuneMatmul(device: Device, products: readonly Product[]): Promise<TunedProduct[]> {
  const classes = new Map(products.map((product) => [matmulClass(product), product]));
  const tuned: TunedProduct[] = [];
  for (const [question, product] of classes) {
    const measured = await measureVariants(device, product);
    device.choices.set(question, measured.variant);
    tuned.push({ ...product, ...measured });
  }
  return tuned;
}

async function measureVariants(device: Device, product: Product): Promise<Fastest<MatmulVariant>> {
  // No scope may be open while this waits: what others allocate meanwhile would die with it.
  const [a, b] = device.memory.persistent(() => operands(device, product));
  const { layout } = product;
  try {
    const variants = matmulVariants(device, product);
    return await fastestOf(device, variants, (variant) => matmul(a, b, { layout, variant }));
  } finally {
    for (const { storage } of [a, ...partsOf(b)]) device.memory.release(storage);
  }
}

function operands(device: Device, { layout, m, n, k, decoding }: Product): [Tensor, Weight] {
  const aShape = layout === "TN" ? [k, m] : [m, k];
  const bShape = layout === "NT" ? ([n, k] as const) : ([k, n] as const);
  const ones = new Float32Array(elementCount(aShape)).fill(1);
  return [fromArray(device, ones, aShape), blankWeight(device, bShape, decoding)];
}
