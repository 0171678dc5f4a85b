import type { AsyncBuffer, FileMetaData } from "hyparquet";
import { fail, LoraError } from "../../util/fail.ts";
import type { JsonObject } from "../../util/json.ts";
import type { Row } from "../rows/rows.ts";
import type { DataFile } from "./data-file.ts";

/** First bytes of Parquet. */
export function isParquet(head: Uint8Array): boolean {
  return [0x50, 0x41, 0x52, 0x31].every((byte, i) => head[i] === byte); // PAR1
}

/** What one group of rows may be: writers make groups of a million rows at most, and pages of a megabyte. */
const MAX_GROUP_ROWS = 2 ** 22;
const MAX_GROUP_BYTES = 2 ** 31;
const MAX_PAGE_BYTES = 2 ** 29;

/**
 * The rows of a Parquet file, a group of them at a time; rows are counted from 1. Lists are lists, structs and maps are
 * objects, whole numbers are numbers and points in time are texts.
 * @throws LoraError where it is cut off or damaged, or has more in a group than any writer makes
 */
export async function* parquetRows(file: DataFile): AsyncGenerator<Row[]> {
  const { name, size } = file;
  if (size === undefined) fail(name, "is a pipe, and Parquet is read from its end on", "save it as a file");
  const { parquetReadObjects, parquetMetadataAsync } = await import("hyparquet");
  const buffer: AsyncBuffer = {
    byteLength: size,
    async slice(start, end = size) {
      const isInside = Number.isSafeInteger(start) && Number.isSafeInteger(end) && 0 <= start && start <= end;
      if (!isInside || end > size) throw new Error(`bytes ${start} to ${end} of ${size} are wanted`);
      const [bytes] = await file.read([{ start, end }]);
      return bytes?.buffer as ArrayBuffer;
    },
  };
  const metadata = await inParquet(name, () => parquetMetadataAsync(buffer));
  checkGroups(name, metadata);
  const compressors = await boundedCompressors();
  const parsers = { stringFromBytes };
  let rowStart = 0;
  for (const { num_rows } of metadata.row_groups) {
    const rowEnd = rowStart + Number(num_rows);
    const options = { file: buffer, metadata, compressors, parsers, rowStart, rowEnd };
    const objects = await inParquet(name, () => parquetReadObjects(options));
    yield objects.map((values, i) => ({ line: rowStart + i + 1, values: plainRow(values) }));
    rowStart = rowEnd;
  }
}

function checkGroups(name: string, { row_groups }: FileMetaData): void {
  for (const [i, { num_rows, total_byte_size }] of row_groups.entries()) {
    const is = `row group ${i + 1} has ${num_rows} rows in ${total_byte_size} bytes`;
    const isFine =
      num_rows >= 0n && num_rows <= BigInt(MAX_GROUP_ROWS) && total_byte_size <= BigInt(MAX_GROUP_BYTES);
    if (isFine) continue;
    const help = `write it with smaller groups (row_group_size of pandas and pyarrow): up to ${MAX_GROUP_ROWS} rows and ${MAX_GROUP_BYTES} bytes`;
    fail(name, is, help);
  }
}

type Unpack = (input: Uint8Array, length: number) => Uint8Array;

/** A page is given the bytes that its header names, and no more. */
async function boundedCompressors(): Promise<Record<string, Unpack>> {
  const { compressors, decompressZstd, decompressLz4, decompressLz4Raw } = await import(
    "hyparquet-compressors"
  );
  const all: Record<string, Unpack> = {
    ...(compressors as Record<string, Unpack>),
    ZSTD: (input, length) => decompressZstd(input, new Uint8Array(length)),
    LZ4: (input, length) => {
      try {
        return decompressLz4(input, length);
      } catch {
        return decompressLz4Raw(input, length); // its bytes looked like Hadoop's lengths
      }
    },
  };
  const bounded =
    (unpack: Unpack): Unpack =>
    (input, length) => {
      if (length > MAX_PAGE_BYTES) throw new Error(`a page of ${length} bytes`);
      return length === 0 ? new Uint8Array() : unpack(input, length); // LZ4 of nothing is refused by the library
    };
  return Object.fromEntries(Object.entries(all).map(([codec, unpack]) => [codec, bounded(unpack)]));
}

function stringFromBytes(bytes: Uint8Array | undefined): string | undefined {
  return bytes && new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
}

async function inParquet<T>(name: string, task: () => Promise<T>): Promise<T> {
  try {
    return await task();
  } catch (error) {
    if (error instanceof LoraError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    return fail(name, `is damaged, cut off, or Parquet of a rare kind: ${why}`, "download or write it again");
  }
}

/** A row as JSON would have it, or what is wrong with it. */
function plainRow(values: JsonObject): JsonObject | string {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, plain(value)]));
}

function plain(value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  if (value === undefined) return null;
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return value;
  return plainRow(value as JsonObject);
}
