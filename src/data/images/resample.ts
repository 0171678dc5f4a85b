import type { ImageSize, ResizeKernel } from "../../io/formats/image-config.ts";
import type { RgbImage } from "./images.ts";

/**
 * Resizes an image as Pillow does, which is what models were trained with: libraries differ from it by up to 58 of 255
 * steps where they enlarge. Separable filters that widen where the image shrinks, each pass rounded to bytes.
 * Formulas of `src/libImaging/Resample.c`, Pillow 12.
 */
export function resampleImage(
  image: RgbImage,
  { width, height, kernel }: ImageSize & { readonly kernel: ResizeKernel },
): RgbImage {
  const across = resampleRows(image.data, image.height, image.width, weightsOf(image.width, width, kernel));
  // Columns are the rows of the transposed image.
  const turned = transposed(across, image.height, width);
  const down = resampleRows(turned, width, image.height, weightsOf(image.height, height, kernel));
  return { width, height, data: transposed(down, width, height) };
}

interface Filter {
  /** Half the width, in pixels of the larger side. */
  support: number;
  at(x: number): number;
}

const sinc = (x: number) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));

const FILTERS: Readonly<Record<Exclude<ResizeKernel, "nearest">, Filter>> = {
  bilinear: { support: 1, at: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: { support: 2, at: (x) => cubic(Math.abs(x)) },
  lanczos: { support: 3, at: (x) => (Math.abs(x) < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

/** Keys' kernel with a = −1/2. */
function cubic(x: number): number {
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}

/** The pixels that make one new pixel: from `first` on, with these weights. */
interface Window {
  first: number;
  weights: readonly number[];
}

function weightsOf(from: number, to: number, kernel: ResizeKernel): Window[] {
  const scale = from / to;
  return Array.from({ length: to }, (_, i) => {
    const center = (i + 0.5) * scale;
    if (kernel === "nearest") return { first: Math.min(from - 1, Math.floor(center)), weights: [1] };
    const stretch = Math.max(1, scale);
    const { support, at } = FILTERS[kernel];
    const first = Math.max(0, Math.trunc(center - support * stretch + 0.5));
    const end = Math.min(from, Math.trunc(center + support * stretch + 0.5));
    const raw = Array.from({ length: end - first }, (_, x) => at((x + first - center + 0.5) / stretch));
    const sum = raw.reduce((a, b) => a + b, 0);
    return { first, weights: raw.map((weight) => weight / sum) };
  });
}

/** Each row of `[rows, cols, 3]` with its pixels combined as the windows say. */
function resampleRows(data: Uint8Array, rows: number, cols: number, windows: readonly Window[]): Uint8Array {
  const result = new Uint8ClampedArray(rows * windows.length * 3);
  for (let row = 0; row < rows; row++) {
    for (const [i, { first, weights }] of windows.entries()) {
      for (let channel = 0; channel < 3; channel++) {
        const start = (row * cols + first) * 3 + channel;
        let sum = 0;
        for (let k = 0; k < weights.length; k++)
          sum += (weights[k] as number) * (data[start + 3 * k] as number);
        result[(row * windows.length + i) * 3 + channel] = Math.floor(sum + 0.5); // a clamped array rounds to even
      }
    }
  }
  return new Uint8Array(result.buffer);
}

/** `[rows, cols, 3]` as `[cols, rows, 3]`. */
function transposed(data: Uint8Array, rows: number, cols: number): Uint8Array {
  const result = new Uint8Array(data.length);
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < cols; c++) {
      const from = (r * cols + c) * 3;
      result.set(data.subarray(from, from + 3), (c * rows + r) * 3);
    }
  return result;
}
