import type { Metadata, Sharp } from "sharp";
import { decodeBmp } from "../data/images/bmp.ts";
import { opaqueGif } from "../data/images/gif.ts";
import { COPY_IMAGE, checkPixelCount, failImage, imageFormat } from "../data/images/image-format.ts";
import { type DecodeImage, type RgbImage, rgbOfCmyk, rgbOfGrey16 } from "../data/images/images.ts";
import { fail } from "../util/fail.ts";

/**
 * Decodes PNG, JPEG, WebP, GIF, TIFF and BMP to the pixels that Pillow sees (`ImageOps.exif_transpose`, then
 * `convert("RGB")`, as in `load_image` of transformers): turned as the EXIF data say, without regard to colour profiles
 * and opacity, of several pictures the first. All but BMP with the package `sharp`, which is loaded when the first comes.
 * @throws LoraError where it is none of them, or of a kind whose pixels would be others than Pillow's
 */
export const decodeNodeImage: DecodeImage = async (bytes, where) => {
  const format = imageFormat(bytes, where);
  if (format === "bmp") return decodeBmp(bytes, where);
  const makeSharp = await loadSharp();
  const file = format === "gif" ? opaqueGif(bytes, where) : bytes;
  const image = makeSharp(file, { ignoreIcc: true, autoOrient: true });
  const metadata = await attempt(image.metadata(), where);
  checkPixelCount(metadata.width, metadata.height, where);
  const read = pixelReader(metadata);
  if (read === undefined) {
    const { space, depth, channels } = metadata;
    failImage(where, `has ${channels} channels of ${space} as ${depth}, which is not read`);
  }
  return attempt(read(image), where);
};

type ReadPixels = (image: Sharp) => Promise<RgbImage>;

/** What reads an image's pixels as Pillow does; undefined where nothing is known to. */
function pixelReader({ space, depth, channels, format }: Metadata): ReadPixels | undefined {
  switch (`${space} ${depth}`) {
    case "srgb uchar":
    case "b-w uchar":
    case "rgb16 ushort":
      return readRgb;
    case "b-w float":
    case "b-w int":
    case "b-w uint":
      return channels === 1 ? readRgb : undefined;
    case "grey16 ushort":
      if (channels === 1) return readGrey16;
      return format === "png" ? readRgb : undefined;
    case "cmyk uchar":
      return channels === 4 ? readCmyk : undefined;
    default:
      return undefined;
  }
}

const readRgb: ReadPixels = async (image) => {
  const { data, info } = await raw(image.toColourspace("srgb").removeAlpha());
  return { width: info.width, height: info.height, data };
};

const readCmyk: ReadPixels = async (image) => {
  const { data, info } = await raw(image.pipelineColourspace("cmyk").toColourspace("cmyk"));
  return { width: info.width, height: info.height, data: rgbOfCmyk(data) };
};

const readGrey16: ReadPixels = async (image) => {
  const { data, info } = await raw(image.toColourspace("grey16"), "ushort");
  const values = new Uint16Array(data.buffer, data.byteOffset, data.byteLength / 2);
  return { width: info.width, height: info.height, data: rgbOfGrey16(values) };
};

function raw(image: Sharp, depth: "uchar" | "ushort" = "uchar") {
  return image.raw({ depth }).toBuffer({ resolveWithObject: true });
}

async function attempt<T>(decoded: Promise<T>, where: string): Promise<T> {
  try {
    return await decoded;
  } catch (error) {
    const [reason] = (error instanceof Error ? error.message : String(error)).split("\n"); // libvips repeats itself
    return fail(where, `is no image that can be decoded: ${reason}`, COPY_IMAGE);
  }
}

type MakeSharp = typeof import("sharp")["default"];

async function loadSharp(): Promise<MakeSharp> {
  try {
    return (await import("sharp")).default;
  } catch {
    return fail("images", "the package sharp, which decodes them, is not installed", "npm install sharp");
  }
}
