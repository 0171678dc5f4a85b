import type { DecodeImage } from "../data/images.ts";
import { fail } from "../util/fail.ts";

type Sharp = typeof import("sharp")["default"];

/** Decodes PNG, JPEG, WebP, GIF and TIFF with the package `sharp`, which is loaded when the first image comes. */
export const decodeNodeImage: DecodeImage = async (bytes, where) => {
  const sharp = await loadSharp();
  try {
    const { data, info } = await sharp(bytes)
      .toColourspace("srgb")
      .removeAlpha()
      .raw()
      .toBuffer({ resolveWithObject: true });
    return { width: info.width, height: info.height, data };
  } catch (error) {
    const [reason] = (error instanceof Error ? error.message : String(error)).split("\n"); // libvips repeats itself
    return fail(where, `is no image that can be decoded: ${reason}`);
  }
};

async function loadSharp(): Promise<Sharp> {
  try {
    return (await import("sharp")).default;
  } catch {
    return fail("images", "the package sharp, which decodes them, is not installed", "npm install sharp");
  }
}
