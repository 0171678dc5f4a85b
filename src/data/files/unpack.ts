import { fail } from "../../util/fail.ts";

/** First bytes of gzip. */
export function isGzip(head: Uint8Array): boolean {
  return head[0] === 0x1f && head[1] === 0x8b;
}

/** From here on what was packed is looked at for being a bomb: a few kilobytes of zeros may be gigabytes. */
const TRUSTED_BYTES = 2 ** 24;

/** How many times smaller gzip makes rows: text about four times, the most monotonous tables some fifty times. */
const MAX_RATIO = 100;

/**
 * What gzip has packed, piece by piece: however much it becomes, no more than some pieces is in memory.
 * @param name the file, for messages
 * @throws LoraError where it is cut off or damaged, or becomes more than rows that anybody wrote
 */
export async function* unpacked(name: string, packed: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
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

/**
 * Unpacks; whoever stops early takes no more from `packed`. Not every browser can make a stream of what is iterated over, or
 * iterate over a stream.
 */
async function* gunzip(packed: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const iterator = packed[Symbol.asyncIterator]();
  const source = new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      const { done, value } = await iterator.next();
      if (done) controller.close();
      else controller.enqueue(value as Uint8Array<ArrayBuffer>);
    },
  });
  const reader = source.pipeThrough(new DecompressionStream("gzip")).getReader();
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value;
  } finally {
    reader.cancel().catch(() => {}); // not awaited: it waits for what nobody takes any more
    await iterator.return?.();
  }
}
