import type { ImageConfig, ImageSize, ResizeTarget } from "../../io/formats/image-config.ts";
import type { RgbImage } from "./images.ts";
import { resampleImage } from "./resample.ts";

/** An image resized and cut as the model wants it: what transformers' image processor does before it scales. */
export function fitImage(image: RgbImage, { resize, crop }: Pick<ImageConfig, "resize" | "crop">): RgbImage {
  const resized = resize
    ? resampleImage(image, { ...targetSize(image, resize), kernel: resize.kernel })
    : image;
  return crop ? centerCrop(resized, crop) : resized;
}

/** The longer edge keeps the proportion, rounded down. */
function targetSize({ height, width }: ImageSize, target: ResizeTarget): ImageSize {
  if (!("shortestEdge" in target)) return target;
  const { shortestEdge: short } = target;
  const long = Math.trunc((short * Math.max(height, width)) / Math.min(height, width));
  return width <= height ? { width: short, height: long } : { width: long, height: short };
}

/** The middle of an image, with black around it where the image is smaller (`center_crop` of transformers). */
function centerCrop(image: RgbImage, { height, width }: ImageSize): RgbImage {
  const top = middle(image.height, height);
  const left = middle(image.width, width);
  const data = new Uint8Array(3 * height * width);
  const from = Math.max(0, left);
  const to = Math.min(image.width, left + width);
  for (let y = 0; y < height; y++) {
    const row = top + y;
    if (row < 0 || row >= image.height) continue;
    const start = row * image.width;
    data.set(image.data.subarray(3 * (start + from), 3 * (start + to)), 3 * (y * width + from - left));
  }
  return { width, height, data };
}

/** Where the cut begins, rounded down: an odd pixel is cut off at the end, and filled in at the beginning. */
function middle(given: number, wanted: number): number {
  return Math.floor((given - wanted) / 2);
}
