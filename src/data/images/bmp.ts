import { checkPixelCount, failImage } from "./image-format.ts";
import type { RgbImage } from "./images.ts";

/** Bits of a pixel that are read: indices into a palette, or blue, green, red and perhaps a byte of opacity. */
const DEPTHS = [1, 4, 8, 24, 32];
const [UNCOMPRESSED, BITFIELDS] = [0, 3];
/** `BITMAPCOREHEADER`, whose sizes have two bytes and whose palette three for a colour. */
const CORE_HEADER = 12;
const FILE_HEADER = 14;
/** Behind `BITMAPINFOHEADER` and the masks of red, green and blue. */
const MASKS_END = FILE_HEADER + 40 + 12;

interface BmpHeader {
  readonly width: number;
  readonly height: number;
  /** Rows run upwards unless the height is negative. */
  readonly isTopDown: boolean;
  readonly depth: number;
  readonly paletteStart: number;
  readonly paletteEntryBytes: number;
  readonly pixelStart: number;
}

/**
 * Decodes an uncompressed Windows or OS/2 bitmap.
 * @throws LoraError where it is packed, has another depth, or is cut off
 */
export function decodeBmp(bytes: Uint8Array, where: string): RgbImage {
  const { width, height, isTopDown, depth, pixelStart, ...palette } = readHeader(bytes, where);
  checkPixelCount(width, height, where);
  const stride = 4 * Math.ceil((width * depth) / 32);
  if (bytes.length < pixelStart + stride * height) {
    failCutOff(where);
  }
  const data = new Uint8Array(3 * width * height);
  for (let y = 0; y < height; y++) {
    const row = pixelStart + stride * (isTopDown ? y : height - 1 - y);
    for (let x = 0; x < width; x++) {
      const at =
        depth < 24
          ? palette.paletteStart + palette.paletteEntryBytes * indexAt(bytes, row, x, depth)
          : row + (x * depth) / 8;
      // Blue, green, red.
      for (let i = 0; i < 3; i++) data[3 * (y * width + x) + i] = bytes[at + 2 - i] as number;
    }
  }
  return { width, height, data };
}

/** Index of a pixel's colour; the leftmost pixel is in a byte's highest bits. */
function indexAt(bytes: Uint8Array, row: number, x: number, depth: number): number {
  const bit = x * depth;
  const byte = bytes[row + (bit >> 3)] as number;
  return (byte >> (8 - depth - (bit & 7))) & ((1 << depth) - 1);
}

function failCutOff(where: string): never {
  failImage(where, "is no image that can be decoded: the bitmap is cut off");
}

function readHeader(bytes: Uint8Array, where: string): BmpHeader {
  if (bytes.length < FILE_HEADER + 40) failCutOff(where);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const headerBytes = view.getUint32(14, true);
  const isCore = headerBytes === CORE_HEADER;
  const width = isCore ? view.getUint16(18, true) : view.getInt32(18, true);
  const signedHeight = isCore ? view.getUint16(20, true) : view.getInt32(22, true);
  const depth = view.getUint16(isCore ? 24 : 28, true);
  const compression = isCore ? UNCOMPRESSED : view.getUint32(30, true);
  const hasMasks = compression === BITFIELDS && depth === 32;
  if (hasMasks && bytes.length < MASKS_END) failCutOff(where);
  const hasUsualMasks =
    hasMasks && view.getUint32(54, true) === 0xff0000 && view.getUint32(58, true) === 0xff00;
  if (!DEPTHS.includes(depth) || (compression !== UNCOMPRESSED && !hasUsualMasks)) {
    failImage(
      where,
      `is a bitmap of ${depth} bits a pixel with compression ${compression}, which is not read`,
    );
  }
  if (width <= 0 || signedHeight === 0)
    failImage(where, `is a bitmap of ${width} × ${Math.abs(signedHeight)} pixels`);
  return {
    width,
    height: Math.abs(signedHeight),
    isTopDown: signedHeight < 0,
    depth,
    paletteStart: FILE_HEADER + headerBytes,
    paletteEntryBytes: isCore ? 3 : 4,
    pixelStart: view.getUint32(10, true),
  };
}
