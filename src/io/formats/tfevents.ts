// TensorBoard's event files: records (length, its checksum, bytes, their checksum; tensorflow/core/lib/io/record_writer) of Event
// messages in protocol buffers (tensorboard/compat/proto/event.proto, summary.proto).

import { concatBytes } from "../../util/bytes.ts";
import type { Distribution } from "../../util/distribution.ts";

/** What happened at a step, for TensorBoard. */
export interface TensorBoardEvent {
  /** Seconds since 1970. */
  readonly wallTime: number;
  /** The step of the run. */
  readonly step: number;
  /** The first event of a file. */
  readonly isFirst?: boolean;
  /** Events of this step or a later one in files before are void: the run was resumed. */
  readonly isRestart?: boolean;
  /** Numbers by their tags, such as `train/loss`. */
  readonly scalars?: Readonly<Record<string, number>>;
  /** Texts by their tags, in Markdown. */
  readonly texts?: Readonly<Record<string, string>>;
  /** Distributions of values by their tags; `distributionOf` makes one. */
  readonly histograms?: Readonly<Record<string, Distribution>>;
}

/** An event as a record of an event file; a file is records one after another, the first of which `isFirst`. */
export function eventRecord(event: TensorBoardEvent): Uint8Array<ArrayBuffer> {
  const data = encodeEvent(event);
  const record = new Uint8Array(data.length + 16);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedCrc(record.subarray(0, 8)), true);
  record.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc(data), true);
  return record;
}

const FILE_VERSION = "brain.Event:2";
const SESSION_START = 1;

function encodeEvent({ wallTime, step, isFirst, isRestart, ...summary }: TensorBoardEvent): Uint8Array {
  const values = summaryValues(summary);
  return concatBytes([
    double(1, wallTime),
    varint(2, step),
    ...(isFirst ? [text(3, FILE_VERSION)] : []),
    ...(values.length > 0 ? [bytes(5, concatBytes(values.map((value) => bytes(1, value))))] : []),
    ...(isRestart ? [bytes(7, varint(1, SESSION_START))] : []),
  ]);
}

function summaryValues({
  scalars = {},
  texts = {},
  histograms = {},
}: Pick<TensorBoardEvent, "scalars" | "texts" | "histograms">): Uint8Array[] {
  return [
    ...Object.entries(scalars).map(([tag, value]) => concatBytes([text(1, tag), float(2, value)])),
    ...Object.entries(texts).map(([tag, value]) =>
      concatBytes([text(1, tag), bytes(8, stringTensor(value)), bytes(9, textMetadata())]),
    ),
    ...Object.entries(histograms).map(([tag, distribution]) =>
      concatBytes([text(1, tag), bytes(5, histogram(distribution))]),
    ),
  ];
}

/** SummaryMetadata: that a tensor is for the text plugin. */
const textMetadata = () => bytes(1, text(1, "text"));
const DT_STRING = 7;

/** A tensor `[1]` of one string. */
function stringTensor(value: string): Uint8Array {
  return concatBytes([varint(1, DT_STRING), bytes(2, bytes(2, varint(1, 1))), text(8, value)]);
}

/** A HistogramProto. */
function histogram({ min, max, count, sum, squares, width, buckets }: Distribution): Uint8Array {
  const limits = buckets.map((_, i) => min + width * (i + 1));
  return concatBytes([
    ...[min, max, count, sum, squares].map((value, i) => double(i + 1, value)),
    bytes(6, concatBytes(limits.map(bareDouble))),
    bytes(7, concatBytes(buckets.map(bareDouble))),
  ]);
}

// Protocol buffers: a field is its number and wire type (0 varint, 1 eight bytes, 2 bytes with their length, 5 four bytes). A number
// that is 0 is left out, unless it is one of several kinds of value.

const key = (field: number, wire: number) => bareVarint((field << 3) | wire);
const NOTHING = new Uint8Array(0);
const varint = (field: number, value: number) =>
  value === 0 ? NOTHING : concatBytes([key(field, 0), bareVarint(value)]);
const bytes = (field: number, value: Uint8Array) =>
  concatBytes([key(field, 2), bareVarint(value.length), value]);
const text = (field: number, value: string) => bytes(field, new TextEncoder().encode(value));
const double = (field: number, value: number) =>
  value === 0 ? NOTHING : concatBytes([key(field, 1), bareDouble(value)]);
const float = (field: number, value: number) =>
  concatBytes([key(field, 5), new Uint8Array(Float32Array.of(value).buffer)]);
const bareDouble = (value: number) => new Uint8Array(Float64Array.of(value).buffer);

/** A whole number of at least 0, below 2⁵³. */
function bareVarint(value: number): Uint8Array {
  const groups: number[] = [];
  for (let rest = value; groups.length === 0 || rest > 0; rest = Math.floor(rest / 128)) {
    groups.push((rest % 128) | (rest >= 128 ? 128 : 0));
  }
  return Uint8Array.from(groups);
}

/** CRC-32C's polynomial, bits reversed. */
const CASTAGNOLI = 0x82f63b78;

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ CASTAGNOLI : crc >>> 1;
  return crc;
});

/** CRC-32C, turned by 15 bits and moved on, so that a checksum of checksums is none. */
function maskedCrc(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of data) crc = (CRC_TABLE[(crc ^ byte) & 255] as number) ^ (crc >>> 8);
  crc = ~crc >>> 0;
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
