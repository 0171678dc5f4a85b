/** A file that is something else than the UTF-8 text that was expected. */
export interface ForeignFile {
  /** As the rest of a sentence about the file. */
  readonly what: string;
  /** A command or a deed that makes a text of it. */
  readonly help: string;
}

/** Bytes of a file's beginning that {@link foreignFile} looks at. */
const HEAD_BYTES = 4096;

/** Tells by its first bytes, whatever it is called, what a file is that is no UTF-8 text; undefined where it may be one. */
export function foreignFile(head: Uint8Array, path: string): ForeignFile | undefined {
  const start = Array.from(head.subarray(0, HEAD_BYTES), (byte) => String.fromCharCode(byte)).join("");
  const kind = KINDS.find((kind) => isOfKind(start, kind)) ?? utf16(start);
  if (kind === undefined) return undefined;
  const { what, help } = kind;
  return { what, help: typeof help === "string" ? help : help(shellWord(path), shellWord(textPath(path))) };
}

/** The command that makes UTF-8 of a text in another encoding. */
export function recode(path: string, encoding: string): string {
  return iconv(encoding)(shellWord(path), shellWord(textPath(path)));
}

/** A name for the text beside the file itself: without the ending of a packed file, else with one more. */
function textPath(path: string): string {
  const plain = path.replace(/\.(?:gz|gzip|zst|xz|bz2)$/i, "");
  if (plain !== path) return plain;
  const lines = path.replace(/\.(?:parquet|arrow|feather|pkl|pickle)$/i, ".jsonl");
  return lines !== path ? lines : path.replace(/(\.\w+)?$/, ".utf8$1");
}

/** A path as a shell takes it. */
function shellWord(path: string): string {
  return /^[\w./:@%+=-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}

interface Kind {
  /** What the file begins with, a character for each byte, or what matches its beginning. */
  readonly magic: string | RegExp;
  /** Where the magic is, if not at the beginning. */
  readonly at?: number;
  /** What else its beginning has. */
  readonly has?: RegExp;
  readonly what: string;
  readonly help: string | ((from: string, to: string) => string);
}

const unpack = (program: string) => (from: string, to: string) => `${program} < ${from} > ${to}`;
const iconv = (encoding: string) => (from: string, to: string) =>
  `iconv -f ${encoding} -t UTF-8 ${from} > ${to}`;
const pandas = (code: string) => (from: string, to: string) =>
  `python -c "import sys, pandas; pandas.${code}" ${from} ${to}`;
const TO_JSON_LINES = "to_json(sys.argv[2], orient='records', lines=True)";
const UNPICKLE = pandas(`DataFrame(pandas.read_pickle(sys.argv[1])).${TO_JSON_LINES}`);

const IDX = {
  what: "is an array in IDX, as MNIST comes in",
  help: "write its images as .png into a folder for each class, and train image-classification on these",
};

const KINDS: readonly Kind[] = [
  { magic: "\x1f\x8b", what: "is compressed with gzip", help: unpack("gunzip") },
  { magic: "\x28\xb5\x2f\xfd", what: "is compressed with Zstandard", help: unpack("zstd -d") },
  { magic: "\xfd7zXZ\0", what: "is compressed with xz", help: unpack("xz -d") },
  { magic: /^BZh[1-9]1AY&SY/, what: "is compressed with bzip2", help: unpack("bzip2 -d") },
  { magic: "ustar", at: 257, what: "is a tar archive", help: (from) => `tar -xf ${from}` },
  {
    magic: "PK\x03\x04",
    has: /\[Content_Types\]\.xml|xl\//,
    what: "is an Excel workbook",
    help: "save it as CSV UTF-8 in Excel or LibreOffice",
  },
  {
    magic: "\xd0\xcf\x11\xe0",
    what: "is an old Excel workbook",
    help: "save it as CSV UTF-8 in Excel or LibreOffice",
  },
  { magic: "PK\x03\x04", what: "is a zip archive", help: (from) => `unzip ${from}` },
  { magic: "PAR1", what: "is a Parquet file", help: pandas(`read_parquet(sys.argv[1]).${TO_JSON_LINES}`) },
  {
    magic: "ARROW1\0\0",
    what: "is an Arrow file",
    help: pandas(`read_feather(sys.argv[1]).${TO_JSON_LINES}`),
  },
  {
    magic: "\xff\xff\xff\xff",
    what: "is an Arrow stream, as Hugging Face datasets keeps it",
    help: (from, to) =>
      `python -c "import sys, datasets; datasets.Dataset.from_file(sys.argv[1]).to_json(sys.argv[2])" ${from} ${to}`,
  },
  { magic: "\x80\x04", what: "is a Python pickle, which runs code when it is opened", help: UNPICKLE },
  { magic: "\x80\x05", what: "is a Python pickle, which runs code when it is opened", help: UNPICKLE },
  { magic: "SQLite format 3\0", what: "is an SQLite database", help: "export the table as CSV" },
  { magic: "%PDF-", what: "is a PDF", help: "save its text as UTF-8" },
  {
    magic: "version https://git-lfs",
    what: "is a pointer of Git LFS, not the file itself",
    help: "run git lfs pull in its folder",
  },
  {
    magic: /^\s*<(?:!doctype\s+html|html)[\s>]/i,
    what: "is a web page",
    help: "download the file itself: on the hub its address has /resolve/ where the page's has /blob/",
  },
  ...["\x01", "\x03", "\x04"].map((dimensions) => ({ magic: `\0\0\x08${dimensions}`, ...IDX })),
  { magic: "\xff\xfe\0\0", what: "is UTF-32 text", help: iconv("UTF-32") },
  { magic: "\0\0\xfe\xff", what: "is UTF-32 text", help: iconv("UTF-32") },
  { magic: "\xff\xfe", what: "is UTF-16 text", help: iconv("UTF-16") },
  { magic: "\xfe\xff", what: "is UTF-16 text", help: iconv("UTF-16") },
];

function isOfKind(start: string, { magic, at = 0, has }: Kind): boolean {
  const begins = typeof magic === "string" ? start.startsWith(magic, at) : magic.test(start);
  return begins && (has === undefined || has.test(start));
}

/** UTF-16 without a byte-order mark: of plain text every other byte is zero, the second of each pair or the first. */
function utf16(start: string): Kind | undefined {
  const zeros = [0, 0];
  for (let i = 0; i < start.length; i++) if (start[i] === "\0") zeros[i % 2] = (zeros[i % 2] as number) + 1;
  const [even = 0, odd = 0] = zeros;
  if (4 * Math.max(even, odd) <= start.length || 2 * Math.min(even, odd) > Math.max(even, odd))
    return undefined;
  const encoding = odd > even ? "UTF-16LE" : "UTF-16BE";
  const what = `is ${encoding} text without a byte-order mark`;
  return { magic: "", what, help: iconv(encoding) };
}
