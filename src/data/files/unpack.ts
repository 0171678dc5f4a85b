import { fail } from "../../util/fail.ts";
import type { DataFile } from "./data-file.ts";

/** First bytes of gzip. */
export function isGzip(head: Uint8Array): boolean {
  return head[0] === 0x1f && head[1] === 0x8b;
}

/**
 * What gzip has packed, piece by piece: however much it becomes, no more than some pieces is in memory.
 * @throws LoraError where it is cut off or damaged
 */
export async function* unpacked(
  { name, gunzip }: Pick<DataFile, "name" | "gunzip">,
  packed: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  try {
    yield* gunzip(packed);
  } catch (error) {
    const { code } = ((error as Error).cause ?? error) as { readonly code?: unknown };
    const isOfContent = String(code).startsWith("Z_") || error instanceof TypeError; // the latter in browsers
    if (!isOfContent) throw error;
    const what = code === "Z_BUF_ERROR" ? "ends too early: the file is cut off" : "is damaged, or no gzip";
    fail(name, `the packed file ${what}`, "download or copy it again");
  }
}
