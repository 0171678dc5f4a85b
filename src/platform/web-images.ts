import type { DecodeImage } from "../data/images.ts";
import { fail } from "../util/fail.ts";

/**
 * Decodes an image with the browser's own decoder. A canvas holds colours multiplied by their opacity, so where a
 * pixel is nearly transparent its colour is coarser than in Node, and black where it is wholly transparent.
 */
export const decodeWebImage: DecodeImage = async (bytes, where) => {
  const options = { premultiplyAlpha: "none", colorSpaceConversion: "none" } as const;
  const bitmap = await createImageBitmap(new Blob([bytes.slice()]), options).catch((error: Error) =>
    fail(where, `is no image that can be decoded: ${error.message}`),
  );
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d");
  if (!context) fail(where, "the browser gives no canvas to read pixels from");
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  const rgb = new Uint8Array(3 * width * height);
  for (let i = 0; i < width * height; i++) rgb.set(data.subarray(4 * i, 4 * i + 3), 3 * i);
  return { width, height, data: rgb };
};
