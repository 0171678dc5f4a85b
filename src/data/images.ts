import type { ImageConfig } from "../io/formats/image-config.ts";
import { fail } from "../util/fail.ts";

/** A decoded image: red, green and blue bytes of each pixel, row by row. */
export interface RgbImage {
  /** In pixels. */
  readonly width: number;
  /** In pixels. */
  readonly height: number;
  /** `[height, width, 3]`: red, green, blue of each pixel, row by row. */
  readonly data: Uint8Array;
}

/**
 * Decodes the bytes of an image file. Each platform brings its own.
 * @throws LoraError where the bytes are no image that can be decoded
 */
export type DecodeImage = (bytes: Uint8Array, where: string) => Promise<RgbImage>;

/** Pixels as the model wants them: `[3, height, width]`, scaled and normalised. */
export function imagePixels(
  { width, height, data }: RgbImage,
  { factor, mean, std }: ImageConfig,
): Float32Array<ArrayBuffer> {
  const count = width * height;
  const pixels = new Float32Array(3 * count);
  for (let channel = 0; channel < 3; channel++) {
    const [m, s] = [mean[channel] as number, std[channel] as number];
    for (let i = 0; i < count; i++) {
      pixels[channel * count + i] = ((data[3 * i + channel] as number) * factor - m) / s;
    }
  }
  return pixels;
}

/** @throws LoraError where the model takes other images */
export function checkImageSize(
  { width, height }: RgbImage,
  wanted: { channels: number; height: number; width: number },
  where: string,
): void {
  if (wanted.channels !== 3) fail(where, `has colours, the model takes ${wanted.channels} channels`);
  if (width === wanted.width && height === wanted.height) return;
  fail(where, `becomes ${width} × ${height} pixels, the model takes ${wanted.width} × ${wanted.height}`);
}
