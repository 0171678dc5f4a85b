import { failImage } from "./image-format.ts";

const [EXTENSION, GRAPHIC_CONTROL, IMAGE] = [0x21, 0xf9, 0x2c];
const HEADER_BYTES = 13;

/**
 * A GIF whose first picture has no transparent colour: decoders leave transparent pixels black, where Pillow gives
 * them the colour of the palette. Format: GIF89a, sections 18, 20 and 23.
 * @throws LoraError where the first picture does not cover the whole: decoders fill the rest in different ways
 */
export function opaqueGif(bytes: Uint8Array, where: string): Uint8Array {
  const copy = bytes.slice();
  const flags = copy[10] ?? 0;
  let at = HEADER_BYTES + (flags & 0x80 ? 3 << ((flags & 7) + 1) : 0);
  while (copy[at] === EXTENSION) {
    if (copy[at + 1] === GRAPHIC_CONTROL) copy[at + 3] = (copy[at + 3] ?? 0) & ~1;
    at += 2;
    // Blocks that begin with their length; the last one is empty.
    while ((copy[at] ?? 0) > 0) at += 1 + (copy[at] as number);
    at++;
  }
  if (copy[at] === IMAGE && !coversScreen(copy, at + 1)) {
    failImage(where, "is a GIF whose first picture does not cover all of it, which is not read");
  }
  return copy;
}

/** Whether the picture whose place and size begin at `at` is as large as the screen, whose size is in the header. */
function coversScreen(bytes: Uint8Array, at: number): boolean {
  const screen = bytes.subarray(6, 10);
  const isAtOrigin = bytes.subarray(at, at + 4).every((byte) => byte === 0);
  return isAtOrigin && screen.every((byte, i) => bytes[at + 4 + i] === byte);
}
