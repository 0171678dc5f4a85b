/** Joins byte chunks into one new array. */
export function concatBytes(chunks: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    joined.set(chunk, at);
    at += chunk.length;
  }
  return joined;
}

/** An amount of memory as people say it, by powers of 1000: `1.234 GB`, `56.7 MB`, `8.9 kB`. */
export function formatBytes(bytes: number): string {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(3)} GB`;
  if (bytes >= 1e6) return `${(bytes / 1e6).toFixed(1)} MB`;
  return `${(bytes / 1e3).toFixed(1)} kB`;
}

/** The bytes of an array of numbers, as they lie in memory: a view, no copy. */
export function byteView<B extends ArrayBufferLike>(values: ArrayBufferView<B>): Uint8Array<B> {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** The bytes read as 16-bit little-endian codes: a view, or a copy where the bytes lie at an odd address. */
export function uint16View(bytes: Uint8Array): Uint16Array {
  const { buffer, byteOffset, byteLength } = aligned(bytes, 2);
  return new Uint16Array(buffer, byteOffset, byteLength / 2);
}

/** The bytes read as 32-bit little-endian floats: a view, or a copy where the address is not a multiple of 4. */
export function float32View(bytes: Uint8Array): Float32Array {
  const { buffer, byteOffset, byteLength } = aligned(bytes, 4);
  return new Float32Array(buffer, byteOffset, byteLength / 4);
}

/** The bytes read as 32-bit little-endian words: a view, or a copy where the address is not a multiple of 4. */
export function uint32View(bytes: Uint8Array): Uint32Array {
  const { buffer, byteOffset, byteLength } = aligned(bytes, 4);
  return new Uint32Array(buffer, byteOffset, byteLength / 4);
}

/** The bytes read as 64-bit little-endian floats: a view, or a copy where the address is not a multiple of 8. */
export function float64View(bytes: Uint8Array): Float64Array {
  const { buffer, byteOffset, byteLength } = aligned(bytes, 8);
  return new Float64Array(buffer, byteOffset, byteLength / 8);
}

function aligned(bytes: Uint8Array, size: number): Uint8Array {
  return bytes.byteOffset % size === 0 ? bytes : bytes.slice();
}
