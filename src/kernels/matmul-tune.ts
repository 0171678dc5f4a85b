import type { Device } from "../gpu/device.ts";
import { elementCount, fromArray, scoped, type Tensor } from "../gpu/tensor.ts";
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
export interface TunedProduct extends Product {
  /** The variant that is taken from now on. */
  variant: MatmulVariant;
  /** Median milliseconds of each variant that can compute it. */
  milliseconds: ReadonlyMap<MatmulVariant, number>;
}

/** Rounds in which all variants take turns, so that a change of the machine's speed meets all of them. */
const ROUNDS = 5;
/** What a variant must be faster by to replace the one that is taken without measuring. */
const MARGIN = 0.95;

/**
 * Measures the variants of {@link matmul} on the classes of these products and makes the fastest the device's choice.
 * Takes about a second a class, most of it for compiling. The choices hold until the device is closed; saving is
 * `device.choices.save()`.
 */
export async function tuneMatmul(device: Device, products: readonly Product[]): Promise<TunedProduct[]> {
  const classes = new Map(products.map((product) => [matmulClass(product), product]));
  const tuned: TunedProduct[] = [];
  for (const [question, product] of classes) {
    const variants = matmulVariants(device, product);
    const milliseconds = await measureVariants(device, product, variants);
    const variant = fastest(variants, milliseconds);
    device.choices.set(question, variant);
    tuned.push({ ...product, variant, milliseconds });
  }
  return tuned;
}

/** The first is what is taken by default; another must be clearly faster. */
function fastest(
  [usual, ...others]: readonly [MatmulVariant, ...MatmulVariant[]],
  milliseconds: ReadonlyMap<MatmulVariant, number>,
): MatmulVariant {
  const time = (variant: MatmulVariant) => milliseconds.get(variant) ?? Number.POSITIVE_INFINITY;
  const best = others.reduce((a, b) => (time(b) < time(a) ? b : a), others[0] ?? usual);
  return time(best) < MARGIN * time(usual) ? best : usual;
}

async function measureVariants(
  device: Device,
  product: Product,
  variants: readonly MatmulVariant[],
): Promise<Map<MatmulVariant, number>> {
  // No scope may be open while this waits: what others allocate meanwhile would die with it.
  const [a, b] = device.memory.persistent(() => operands(device, product));
  try {
    const times = new Map(variants.map((variant) => [variant, [] as number[]]));
    for (let round = -1; round < ROUNDS; round++) {
      for (const [variant, list] of times) {
        const time = await timeOnce(device, () => matmul(a, b, { layout: product.layout, variant }));
        if (round >= 0) list.push(time); // the first round compiles
      }
    }
    return new Map([...times].map(([variant, list]) => [variant, median(list)]));
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

async function timeOnce(device: Device, run: () => Tensor): Promise<number> {
  await device.sync();
  const start = performance.now();
  scoped(device, () => {
    run();
    return undefined;
  });
  await device.sync();
  return performance.now() - start;
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1] as number;
}
