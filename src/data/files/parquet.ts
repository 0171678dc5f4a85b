import type { AsyncBuffer, ColumnMetaData, FileMetaData, SchemaTree } from "hyparquet";
import { fail, LoraError } from "../../util/fail.ts";
import type { JsonObject } from "../../util/json.ts";
import type { Row } from "../rows/rows.ts";
import type { ByteRange, DataFile } from "./data-file.ts";
import { type ColumnChunk, checkPages, MAX_PAGE_BYTES } from "./parquet-pages.ts";
import { type Struct, ThriftReader } from "./thrift.ts";

/** First bytes of Parquet. */
export function isParquet(head: Uint8Array): boolean {
  return [0x50, 0x41, 0x52, 0x31].every((byte, i) => head[i] === byte); // PAR1
}

/** What one group of rows may be: writers make groups of a million rows at most, and pages of a megabyte. */
const MAX_GROUP_ROWS = 2 ** 22;
const MAX_GROUP_BYTES = 2 ** 31;
/** More rows than these are looked at for being a bomb: a few bytes may be a million nulls. */
const TRUSTED_ROWS = 2 ** 20;
/** Values of all columns together, of which a list in a row may have many. */
const MAX_GROUP_VALUES = 2 ** 27;

/**
 * The rows of a Parquet file, a group of them at a time; rows are counted from 1. Lists are lists, structs and maps are
 * objects, whole numbers are numbers and points in time are texts.
 * @throws LoraError where it is cut off or damaged, or has more in a group than any writer makes
 */
export async function* parquetRows(file: DataFile): AsyncGenerator<Row[]> {
  const { name, size } = file;
  if (size === undefined) fail(name, "is a pipe, and Parquet is read from its end on", "save it as a file");
  const { parquetReadObjects, parquetMetadataAsync, parquetSchema } = await import("hyparquet");
  const buffer: AsyncBuffer = {
    byteLength: size,
    slice(start, end = size) {
      const bytes = readInside(file, size, { start, end }).then(({ buffer }) => buffer as ArrayBuffer);
      bytes.catch(() => {}); // the library takes several at once, and forgets the others where one is refused
      return bytes;
    },
  };
  const metadata = await inParquet(name, async () => {
    await checkFooter(file, size);
    const metadata = await parquetMetadataAsync(buffer);
    checkGroups(name, metadata, size);
    return metadata;
  });
  const compressors = await boundedCompressors();
  const parsers = { stringFromBytes };
  const schema = await inParquet(name, async () => parquetSchema(metadata));
  let rowStart = 0;
  for (const group of metadata.row_groups) {
    const { num_rows, columns } = group;
    const rowEnd = rowStart + Number(num_rows);
    const alone = { ...metadata, row_groups: [group] }; // the library goes over all that it gets
    const options = { file: buffer, metadata: alone, compressors, parsers };
    const objects = await inParquet(name, async () => {
      for (const { meta_data } of columns) {
        if (!meta_data) throw new Error("a column in another file");
        const bytes = await readInside(file, size, bytesOf(meta_data));
        checkPages(bytes, describeChunk(meta_data, schema, Number(num_rows), compressors));
      }
      return parquetReadObjects(options);
    });
    yield objects.map((values, i) => ({ line: rowStart + i + 1, values: plainRow(values) }));
    rowStart = rowEnd;
  }
}

/** @throws Error where the footer names bytes that the file has not */
async function readInside(file: DataFile, size: number, { start, end }: ByteRange): Promise<Uint8Array> {
  const isInside = Number.isSafeInteger(start) && Number.isSafeInteger(end) && 0 <= start && start <= end;
  if (!isInside || end > size) throw new Error(`bytes ${start} to ${end} of ${size} are wanted`);
  const [bytes] = await file.read([{ start, end }]);
  return bytes as Uint8Array;
}

/** What values are written as. */
const TYPES: readonly unknown[] = [
  ...["BOOLEAN", "INT32", "INT64", "INT96", "FLOAT", "DOUBLE", "BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY"],
];

/** Checks the footer before the library believes what it says of its lists. */
async function checkFooter(file: DataFile, size: number): Promise<void> {
  if (size < 12) throw new Error(`${size} bytes`);
  const [tail] = await file.read([{ start: size - 8, end: size }]);
  const length = new DataView(new Uint8Array(tail as Uint8Array).buffer).getUint32(0, true);
  if (length > size - 12) throw new Error(`a footer of ${length} bytes`);
  const [footer] = await file.read([{ start: size - 8 - length, end: size - 8 }]);
  checkSchema(new ThriftReader(new DataView(new Uint8Array(footer as Uint8Array).buffer), 0).struct());
}

/** Fields of the footer and of an element of its schema (parquet.thrift). */
const [SCHEMA, NUM_CHILDREN] = [2, 5];

/** @throws Error where the elements of the schema, which stand one behind another, are no tree: the library would not end */
function checkSchema(footer: Struct): void {
  const elements = footer.get(SCHEMA);
  if (!Array.isArray(elements)) throw new Error("a footer without a schema");
  let wanted = 1;
  for (const [i, element] of (elements as readonly Struct[]).entries()) {
    const children = element.get(NUM_CHILDREN) ?? 0;
    const isFine = typeof children === "number" && children >= 0 && wanted > 0;
    if (!isFine) throw new Error(`a schema whose element ${i + 1} has ${String(children)} children`);
    wanted += children - 1;
  }
  if (wanted !== 0) throw new Error(`a schema that lacks ${wanted} elements`);
}

function checkGroups(name: string, { row_groups }: FileMetaData, size: number): void {
  let packed = 0n;
  let rows = 0n;
  for (const [i, { num_rows, total_byte_size, columns }] of row_groups.entries()) {
    const metas = columns.flatMap(({ meta_data }) => meta_data ?? []);
    const values = metas.reduce((sum, { num_values }) => sum + num_values, 0n);
    rows += num_rows;
    packed += metas.reduce((sum, meta) => sum + meta.total_compressed_size, 0n);
    const is = `row group ${i + 1} has ${num_rows} rows of ${values} values in ${total_byte_size} bytes`;
    const isWithin = (count: bigint, most: number) => count >= 0n && count <= BigInt(most);
    const isFine =
      isWithin(num_rows, MAX_GROUP_ROWS) &&
      isWithin(values, MAX_GROUP_VALUES) &&
      isWithin(total_byte_size, MAX_GROUP_BYTES);
    if (isFine) continue;
    const help = `write it with smaller groups (row_group_size of pandas and pyarrow): up to ${MAX_GROUP_ROWS} rows, ${MAX_GROUP_VALUES} values and ${MAX_GROUP_BYTES} bytes`;
    fail(name, is, help);
  }
  if (packed > BigInt(size)) {
    fail(name, `has columns of ${packed} bytes in ${size} bytes: some are there twice`, "write it again");
  }
  if (rows > BigInt(TRUSTED_ROWS + 8 * size)) {
    fail(name, `has ${rows} rows in ${size} bytes`, "nothing is learnt of rows that all are the same");
  }
}

/** Where a column of a group lies: some writers give its dictionary no place of its own. */
function bytesOf(meta: ColumnMetaData): ByteRange {
  const start = Number(meta.dictionary_page_offset || meta.data_page_offset);
  return { start, end: start + Number(meta.total_compressed_size) };
}

function describeChunk(
  { type, codec, num_values, path_in_schema }: ColumnMetaData,
  schema: SchemaTree,
  rows: number,
  compressors: Record<string, Unpack>,
): ColumnChunk {
  const path: SchemaTree[] = [];
  let at: SchemaTree | undefined = schema;
  for (const part of path_in_schema) {
    at = at?.children.find(({ element }) => element.name === part);
    if (at) path.push(at);
  }
  const isLeaf = path.length === path_in_schema.length && at?.children.length === 0;
  if (!isLeaf || !TYPES.includes(type) || at?.element.type !== type) {
    throw new Error(
      `${path_in_schema.join(".")} is ${type}, and in the schema ${at?.element.type ?? "no column"}`,
    );
  }
  const kinds = path.map(({ element }) => element.repetition_type);
  const repetition = kinds.filter((kind) => kind === "REPEATED").length;
  const values = Number(num_values);
  if (values < 0 || (repetition === 0 && values > rows)) {
    throw new Error(`${path_in_schema.join(".")} has ${values} values for ${rows} rows`);
  }
  return {
    values,
    isBoolean: type === "BOOLEAN",
    definition: kinds.filter((kind) => kind !== "REQUIRED").length,
    repetition,
    unpack(bytes, length) {
      const unpack = compressors[codec];
      if (codec === "UNCOMPRESSED") return bytes;
      if (!unpack) throw new Error(`pages are packed by ${codec}`);
      return unpack(bytes, length);
    },
  };
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
