// What the pages of a column claim is checked before they are read: the library believes counts and lengths, and fills memory with
// what a few bytes promise. Formats: parquet.thrift, and "Encodings" of Apache Parquet.

import { type Struct, ThriftReader } from "./thrift.ts";

/** A column chunk as the file's footer and its schema describe it. */
export interface ColumnChunk {
  /** Values that it has, nulls included. */
  readonly values: number;
  /** Of its kind: `BOOLEAN` values have runs of one bit. */
  readonly isBoolean: boolean;
  /** Highest definition and repetition levels; 0 where there are none. */
  readonly definition: number;
  readonly repetition: number;
  /** Unpacks a page. */
  unpack(bytes: Uint8Array, length: number): Uint8Array;
}

/** More no writer puts into a page or a column of a group: pages have a megabyte, or one value. */
export const MAX_PAGE_BYTES = 2 ** 27;
const MAX_COLUMN_BYTES = 2 ** 31;

/** Encodings whose values are runs: PLAIN_DICTIONARY, RLE, RLE_DICTIONARY. */
const [PLAIN_DICTIONARY, RLE, RLE_DICTIONARY] = [2, 3, 8];
const [DATA_PAGE, DICTIONARY_PAGE, DATA_PAGE_V2] = [0, 2, 3];

/** @throws Error where the pages of a column claim more than they hold, or than the footer says */
export function checkPages(bytes: Uint8Array, chunk: ColumnChunk): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let values = 0;
  let unpacked = 0;
  for (let at = 0; at < bytes.length - 1; ) {
    const header = new ThriftReader(view, at);
    const page = header.struct();
    const [type, size, packed] = [number(page, 1), number(page, 2), number(page, 3)];
    const end = header.at + packed;
    unpacked += size;
    if (packed < 0 || end > bytes.length)
      throw new Error(`a page of ${packed} bytes goes over its column's end`);
    if (size < 0 || size > MAX_PAGE_BYTES) throw new Error(`a page of ${size} bytes`);
    if (unpacked > MAX_COLUMN_BYTES)
      throw new Error(`a column of more than ${MAX_COLUMN_BYTES} bytes in a group`);
    const content = bytes.subarray(header.at, end);
    if (type === DICTIONARY_PAGE) checkCount(number(struct(page, 7), 1), 8 * size);
    if (type === DATA_PAGE) values += checkPage(content, size, struct(page, 5), chunk);
    if (type === DATA_PAGE_V2) values += checkPageV2(content, size, struct(page, 8), chunk);
    if (values > chunk.values)
      throw new Error(`pages with ${values} values, and the footer has ${chunk.values}`);
    at = end;
  }
}

/** A data page whose levels and values are packed together. Returns how many values it has. */
function checkPage(packed: Uint8Array, size: number, header: Struct, chunk: ColumnChunk): number {
  const [values, encoding] = [number(header, 1), number(header, 2)];
  checkCount(values, chunk.values);
  const { repetition, definition, isBoolean } = chunk;
  const hasRuns = [PLAIN_DICTIONARY, RLE, RLE_DICTIONARY].includes(encoding);
  if (repetition === 0 && definition === 0 && !hasRuns) return values;
  const page = chunk.unpack(packed, size);
  const view = new DataView(page.buffer, page.byteOffset, page.byteLength);
  let at = 0;
  for (const level of [repetition, definition]) {
    if (level === 0) continue;
    const length = view.getUint32(at, true);
    checkRuns(view, at + 4, { width: bitsOf(level), values });
    at += 4 + length;
  }
  if (!hasRuns || at >= page.length) return values;
  // Values that are null are not there, so that the runs may be shorter.
  if (isBoolean) checkRuns(view, at + 4, { width: 1, values, isOpen: true });
  else checkRuns(view, at + 1, { width: view.getUint8(at), values, isOpen: true });
  return values;
}

/** A data page whose levels lie unpacked before its values. */
function checkPageV2(packed: Uint8Array, size: number, header: Struct, chunk: ColumnChunk): number {
  const [values, nulls, encoding] = [number(header, 1), number(header, 2), number(header, 4)];
  const [definition, repetition] = [number(header, 5), number(header, 6)];
  checkCount(values, chunk.values);
  checkCount(nulls, values);
  checkCount(number(header, 3), chunk.values);
  checkCount(definition + repetition, Math.min(packed.length, size));
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  if (chunk.repetition > 0) checkRuns(view, 0, { width: bitsOf(chunk.repetition), values });
  if (chunk.definition > 0 && nulls < values) {
    checkRuns(view, repetition, { width: bitsOf(chunk.definition), values });
  }
  if (![PLAIN_DICTIONARY, RLE, RLE_DICTIONARY].includes(encoding)) return values;
  const rest = packed.subarray(definition + repetition);
  const length = size - definition - repetition;
  const page = header.get(7) === 0 || length === 0 ? rest : chunk.unpack(rest, length);
  if (page.length === 0) return values;
  const own = new DataView(page.buffer, page.byteOffset, page.byteLength);
  if (chunk.isBoolean) checkRuns(own, 4, { width: 1, values, isOpen: true });
  else checkRuns(own, 1, { width: own.getUint8(0), values, isOpen: true });
  return values;
}

interface Runs {
  readonly width: number;
  /** Values that are wanted of them. */
  readonly values: number;
  /** There may be fewer: the runs end with their bytes. */
  readonly isOpen?: boolean;
}

/** Runs of equal values and of packed ones, one after another: none may have more values than are left. */
function checkRuns(view: DataView, start: number, { width, values, isOpen = false }: Runs): void {
  if (width > 32) throw new Error(`values of ${width} bits`);
  const reader = new ThriftReader(view, start);
  for (let seen = 0; seen < values; ) {
    if (isOpen && reader.at >= view.byteLength) return;
    const header = reader.varint();
    const isPacked = header % 2 === 1;
    const count = isPacked ? 8 * Math.floor(header / 2) : Math.floor(header / 2);
    // Packed ones come by eights, and some writers fill the last run with more.
    if (seen + count > values + (isPacked ? 512 : 0)) {
      throw new Error(`a run of ${count} values where ${values - seen} are left`);
    }
    reader.at += isPacked ? (width * count) / 8 : Math.ceil(width / 8);
    seen += count;
    if (count === 0 && reader.at >= view.byteLength) return;
  }
}

function checkCount(count: number, most: number): void {
  if (count < 0 || count > most) throw new Error(`${count} are promised where there can be ${most}`);
}

const bitsOf = (level: number) => Math.ceil(Math.log2(level + 1));

function number(from: Struct, field: number): number {
  const value = from.get(field);
  if (typeof value === "number") return value;
  throw new Error("a page whose header lacks a number"); // without it the library would not end
}

function struct(from: Struct, field: number): Struct {
  const value = from.get(field);
  if (value instanceof Map) return value;
  throw new Error("a page without the header of its kind");
}
