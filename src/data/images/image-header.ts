import type { ImageFormat } from "./image-format.ts";

/**
 * Why browsers show an image with other pixels than Pillow sees, as the rest of a sentence; undefined where they do
 * not. They give 8 bits of 16, turn CMYK into RGB in their own way, do not read TIFF, and turn JPEG alone by its EXIF data.
 */
export function browserProblem(bytes: Uint8Array, format: ImageFormat): string | undefined {
  if (format === "tiff") return "is TIFF";
  if (format === "png" && bytes[PNG_DEPTH] === 16) return "has 16 bits for each colour";
  if (format === "jpeg" && jpegChannels(bytes) === 4) return "is CMYK";
  const exif = format === "png" ? pngExif(bytes) : format === "webp" ? webpExif(bytes) : undefined;
  const isTurned = exif !== undefined && orientationOf(exif) > 1;
  return isTurned ? `is turned by its EXIF data (in ${format === "png" ? "PNG" : "WebP"})` : undefined;
}

const PNG_DEPTH = 24;

/** Components of the frame header (SOF, ITU T.81 B.2.2); undefined where there is none. */
function jpegChannels(bytes: Uint8Array): number | undefined {
  let at = 2;
  while (at + 9 < bytes.length && bytes[at] === 0xff) {
    const marker = bytes[at + 1] as number;
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame) return bytes[at + 9];
    // Fill bytes may precede a marker.
    at += marker === 0xff ? 1 : 2 + 256 * (bytes[at + 2] as number) + (bytes[at + 3] as number);
  }
  return undefined;
}

/** The data of the chunk eXIf. */
function pngExif(bytes: Uint8Array): Uint8Array | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 8; at + 12 <= bytes.length; ) {
    const length = view.getUint32(at);
    if (isNamed(bytes, at + 4, "eXIf")) return bytes.subarray(at + 8, at + 8 + length);
    at += 12 + length;
  }
  return undefined;
}

/** The data of the chunk EXIF. */
function webpExif(bytes: Uint8Array): Uint8Array | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 12; at + 8 <= bytes.length; ) {
    const length = view.getUint32(at + 4, true);
    if (isNamed(bytes, at, "EXIF")) return bytes.subarray(at + 8, at + 8 + length);
    at += 8 + length + (length % 2);
  }
  return undefined;
}

function isNamed(bytes: Uint8Array, at: number, name: string): boolean {
  return Array.from(name).every((char, i) => bytes[at + i] === char.charCodeAt(0));
}

const ORIENTATION = 0x112;

/** The tag Orientation of the first directory; 1, which is upright, where there is none. */
function orientationOf(exif: Uint8Array): number {
  const tiff = isNamed(exif, 0, "Exif") ? exif.subarray(6) : exif;
  const view = new DataView(tiff.buffer, tiff.byteOffset, tiff.byteLength);
  if (view.byteLength < 14) return 1;
  const isLittle = view.getUint16(0) === 0x4949;
  const directory = view.getUint32(4, isLittle);
  const entries = directory + 2 <= view.byteLength ? view.getUint16(directory, isLittle) : 0;
  for (let i = 0; i < entries; i++) {
    const at = directory + 2 + 12 * i;
    if (at + 12 > view.byteLength) break;
    if (view.getUint16(at, isLittle) === ORIENTATION) return view.getUint16(at + 8, isLittle);
  }
  return 1;
}
