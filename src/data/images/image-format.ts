import { foreignFile } from "../../io/files/foreign.ts";
import { fail } from "../../util/fail.ts";

/** The kinds of image files that are read. */
export type ImageFormat = "png" | "jpeg" | "gif" | "webp" | "tiff" | "bmp";

/** What files begin with, a character for each byte. */
const FORMATS: readonly (readonly [RegExp, ImageFormat])[] = [
  [/^\x89PNG\r\n/, "png"],
  [/^\xff\xd8\xff/, "jpeg"],
  [/^GIF8[79]a/, "gif"],
  [/^RIFF....WEBP/s, "webp"],
  [/^(?:II[*+]|MM.[*+])/s, "tiff"],
  [/^BM/, "bmp"],
];

/** Pictures that Pillow or browsers know, and that are not read. */
const OTHERS: readonly (readonly [RegExp, string])[] = [
  [/^.{4}ftypavi[fs]/s, "AVIF"],
  [/^.{4}ftyp(?:hei|hev|mif|msf)/s, "HEIF"],
  [/^.{4}jP {2}\r\n|^\xff\x4f\xff\x51/s, "JPEG 2000"],
  [/^(?:\xff\n|.{4}JXL )/s, "JPEG XL"],
  [/^8BPS/, "Photoshop"],
  [/^P[1-7]\s/, "a portable bitmap (PPM)"],
  [/^\s*<(?:\?xml|svg)/, "SVG"],
];

/** What to do where a file is broken. */
export const COPY_IMAGE = "copy the file again, or leave it out";

const READ = `read are PNG, JPEG, GIF, WebP, TIFF and BMP: ${COPY_IMAGE}`;

/** Pixels that are decoded: as many as Pillow takes without a warning, 268 MB of colours. A small file can hold many more. */
const MOST_PIXELS = 89_478_485;

/** @throws LoraError for an image that would take too much memory */
export function checkPixelCount(width: number, height: number, where: string): void {
  if (width * height <= MOST_PIXELS) return;
  const message = `has ${width} × ${height} pixels, and ${MOST_PIXELS} are read at most`;
  fail(where, message, "make it smaller: models see some hundred pixels of each side");
}

/** A command that makes a PNG of any picture that Pillow opens. */
const TO_PNG =
  "python -c \"import sys; from PIL import Image, ImageOps; ImageOps.exif_transpose(Image.open(sys.argv[1])).convert('RGB').save(sys.argv[2])\" FILE NEW.png";

/**
 * Tells the format of an image by its bytes.
 * @throws LoraError naming what it is, where it is no image that is read
 */
export function imageFormat(bytes: Uint8Array, where: string): ImageFormat {
  const start = Array.from(bytes.subarray(0, 32), (byte) => String.fromCharCode(byte)).join("");
  const [, format] = FORMATS.find(([magic]) => magic.test(start)) ?? [];
  if (format !== undefined) return format;
  const [, other] = OTHERS.find(([magic]) => magic.test(start)) ?? [];
  if (other !== undefined) return failImage(where, `is ${other}, which is not read`);
  if (bytes.length === 0) fail(where, "is no image that can be decoded: it is empty", COPY_IMAGE);
  const foreign = foreignFile(bytes, where);
  const what = foreign ? `it ${foreign.what}` : `it begins with ${JSON.stringify(start.slice(0, 8))}`;
  return fail(where, `is no image that can be decoded: ${what}`, foreign?.help ?? READ);
}

/** Throws: an image of a kind that would not have the pixels that Pillow sees. */
export function failImage(where: string, message: string): never {
  return fail(where, message, TO_PNG);
}
