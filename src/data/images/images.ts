import type { ImageConfig } from "../../io/formats/image-config.ts";
import { fail } from "../../util/fail.ts";

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

/** RGB of the four bytes of each pixel of a CMYK image, by the formula of `src/libImaging/Convert.c`, Pillow 12. */
export function rgbOfCmyk(data: Uint8Array): Uint8Array {
  const rgb = new Uint8ClampedArray((data.length / 4) * 3);
  for (let i = 0; i < data.length / 4; i++) {
    const light = 255 - (data[4 * i + 3] as number);
    for (let channel = 0; channel < 3; channel++) {
      // Rounded division by 255.
      const product = (data[4 * i + channel] as number) * light + 128;
      rgb[3 * i + channel] = light - (((product >> 8) + product) >> 8);
    }
  }
  return new Uint8Array(rgb.buffer);
}

/** RGB of an image with one channel of 16 bits: Pillow takes what is above 255 for white. */
export function rgbOfGrey16(data: Uint16Array): Uint8Array {
  const rgb = new Uint8Array(3 * data.length);
  for (let i = 0; i < data.length; i++) rgb.fill(Math.min(255, data[i] as number), 3 * i, 3 * i + 3);
  return rgb;
}

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

const RESIZE = "let size and crop_size in preprocessor_config.json be those of the model";

/** @throws LoraError where the model takes other images */
export function checkImageSize(
  { width, height }: RgbImage,
  wanted: { channels: number; height: number; width: number },
  where: string,
): void {
  if (wanted.channels !== 3)
    fail(where, `has colours, the model takes ${wanted.channels} channels`, "take a model of colours");
  if (width === wanted.width && height === wanted.height) return;
  fail(
    where,
    `becomes ${width} × ${height} pixels, the model takes ${wanted.width} × ${wanted.height}`,
    RESIZE,
  );
}
