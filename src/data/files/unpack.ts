import { fail } from "../../util/fail.ts";
import type { DataFile } from "./data-file.ts";

/** First bytes of gzip. */
export function isGzip(head: Uint8Array): boolean {
  return head[0] === 0x1f && head[1] === 0x8b;
}

/** From here on what was packed is looked at for being a bomb: a few kilobytes of zeros may be gigabytes. */
const TRUSTED_BYTES = 2 ** 27;

/** How many times smaller gzip makes rows: text about four times, the most monotonous tables some fifty times. */
const MAX_RATIO = 200;

/**
 * What gzip has packed, piece by piece: however much it becomes, no more than some pieces is in memory.
 * @throws LoraError where it is cut off or damaged, or becomes more than rows that anybody wrote
 */
export async function* unpacked(
  { name, gunzip }: Pick<DataFile, "name" | "gunzip">,
  packed: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  let read = 0;
  async function* counted(): AsyncGenerator<Uint8Array> {
    for await (const piece of packed) {
      read += piece.length;
      yield piece;
    }
  }
  let made = 0;
  try {
    for await (const piece of gunzip(counted())) {
      made += piece.length;
      if (made > TRUSTED_BYTES && made > MAX_RATIO * read) {
        fail(name, `becomes more than ${MAX_RATIO} times its size`, "unpack it with gunzip, and look at it");
      }
      yield piece;
    }
  } catch (error) {
    const { code } = ((error as Error).cause ?? error) as { readonly code?: unknown };
    const isOfContent = String(code).startsWith("Z_") || error instanceof TypeError; // the latter in browsers
    if (!isOfContent) throw error;
    const what = code === "Z_BUF_ERROR" ? "ends too early: the file is cut off" : "is damaged, or no gzip";
    fail(name, `the packed file ${what}`, "download or copy it again");
  }
}
