// Parquet of one column that claims what it does not hold, written by hand: parquet.thrift in the compact protocol.

type Field = readonly [id: number, type: number, bytes: readonly number[]];

const [I32, I64, BINARY, LIST, STRUCT] = [5, 6, 8, 9, 12];

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return [...bytes, rest];
}

const i32 = (id: number, value: number): Field => [id, I32, varint(2 * value)];
const i64 = (id: number, value: number): Field => [id, I64, varint(2 * value)];
const text = (value: string) => [...varint(value.length), ...new TextEncoder().encode(value)];
const binary = (id: number, value: string): Field => [id, BINARY, text(value)];
const struct = (...fields: readonly Field[]): number[] => [
  ...fields.flatMap(([id, type, bytes]) => [type, ...varint(2 * id), ...bytes]),
  0,
];
const child = (id: number, ...fields: readonly Field[]): Field => [id, STRUCT, struct(...fields)];
const list = (id: number, type: number, items: readonly (readonly number[])[]): Field => [
  id,
  LIST,
  [0xf0 + type, ...varint(items.length), ...items.flat()],
];
const word = (value: number) => [...new Uint8Array(Uint32Array.of(value).buffer)];

/** What the file says of itself; two rows of `a` and `b` unless it says more. */
export interface Claims {
  /** The page, as it lies in the file. */
  readonly page?: readonly number[];
  /** Values of the page, rows of the group, and values of its column. */
  readonly pageValues?: number;
  readonly rows?: number;
  readonly encoding?: number;
  /** What the page is said to become, and how it is packed: 2 is gzip. */
  readonly unpacked?: number;
  readonly codec?: number;
  /** Groups, all of the same bytes. */
  readonly groups?: number;
  /** The footer, in place of that of all this. */
  readonly footer?: readonly number[];
}

/** A level for each of two values, which are there: one run. */
const LEVELS = [...word(2), 4, 1];
const VALUES = [...word(1), 0x61, ...word(1), 0x62];

export function parquetOf(claims: Claims = {}): Uint8Array {
  const { page = [...LEVELS, ...VALUES], rows = 2, pageValues = rows, encoding = 0, codec = 0 } = claims;
  const { unpacked = page.length, groups = 1 } = claims;
  const data = child(5, i32(1, pageValues), i32(2, encoding), i32(3, 3), i32(4, 3));
  const chunk = [...struct(i32(1, 0), i32(2, unpacked), i32(3, page.length), data), ...page];
  const column = struct(
    i64(2, 4),
    child(
      3,
      ...[i32(1, 6), list(2, I32, [[0]]), list(3, BINARY, [text("text")]), i32(4, codec), i64(5, rows)],
      ...[i64(6, chunk.length), i64(7, chunk.length), i64(9, 4)],
    ),
  );
  const group = struct(list(1, STRUCT, [column]), i64(2, chunk.length), i64(3, rows));
  const schema = [
    struct(binary(4, "schema"), i32(5, 1)),
    struct(i32(1, 6), i32(3, 1), binary(4, "text"), i32(6, 0)), // an optional text
  ];
  const whole = struct(
    ...[i32(1, 1), list(2, STRUCT, schema), i64(3, rows * groups)],
    list(4, STRUCT, Array<number[]>(groups).fill(group)),
  );
  const footer = claims.footer ?? whole;
  const magic = [...new TextEncoder().encode("PAR1")];
  return Uint8Array.from([...magic, ...chunk, ...footer, ...word(footer.length), ...magic]);
}

const MANY = 2 ** 31 - 1;

/** Files that would fill the memory, by what they are; and what is said of each. */
export const BOMBS: Readonly<Record<string, readonly [Claims, RegExp]>> = {
  "a run of two thousand million levels": [
    { page: [...word(6), ...varint(2 * (MANY - 1)), 1, ...VALUES] },
    /a run of 2147483646 values where 2 are left/,
  ],
  "a run of two thousand million values": [
    { page: [...LEVELS, 1, ...varint(2 * (MANY - 1)), 0], encoding: 8 },
    /a run of 2147483646 values where 2 are left/,
  ],
  "a page of two thousand million values": [
    { pageValues: MANY },
    /2147483647 are promised where there can be 2/,
  ],
  "a group of two thousand million rows": [{ rows: MANY }, /row group 1 has 2147483647 rows/],
  "two thousand groups of the same hundred thousand nulls": [
    { page: [...word(4), ...varint(200_000), 0], rows: 100_000, groups: 2000 },
    /has 200000000 rows in \d+ bytes/,
  ],
  "five thousand groups of one large page": [
    { page: [...LEVELS, ...VALUES, ...Array<number>(1000).fill(0)], groups: 5000 },
    /some are there twice/,
  ],
  "a page that becomes a gigabyte": [{ unpacked: 2 ** 30, codec: 2 }, /a page of 1073741824 bytes/],
  "a list of two thousand million columns": [
    { footer: [LIST, ...varint(4), 0xf0 + STRUCT, ...varint(MANY)] },
    /a list of 2147483647 entries/,
  ],
  "lists in each other": [
    { footer: [LIST, ...varint(4), ...Array<number>(1000).fill(0x10 + LIST)] },
    /lists in each other without end/,
  ],
};
