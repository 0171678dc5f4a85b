import { concatBytes } from "../../src/util/bytes.ts";
import type { Random } from "../../src/util/random.ts";

/** What ends lines, opens or closes something, stands for something else, or is invisible. */
const PIECES = [
  ...["\n", "\r", "\r\n", "\t", " ", "\0", "\u001b[2J", "\u0085", "\u2028", "\ufeff", "\u202e", "\u00ad"],
  ...[
    '"',
    '""',
    "'",
    ",",
    ";",
    "|",
    ":",
    ": ",
    "- ",
    "#",
    "\\",
    "\\n",
    "\\u",
    "{",
    "}",
    "[",
    "]",
    "&a ",
    "*a",
    "!",
  ],
  ...[
    "<<: ",
    "---\n",
    "...\n",
    "? ",
    "%",
    "@",
    "`",
    "0",
    "1.0",
    "-0",
    "1e400",
    "NaN",
    "null",
    "~",
    "e\u0301",
    "\u{1f600}",
  ],
];

/** Bytes that are no UTF-8, or only part of it: also half a surrogate pair, and `/` in two bytes. */
const BROKEN_BYTES = [
  [0xff],
  [0xfe],
  [0x80],
  [0xc3],
  [0xf0, 0x9f],
  [0xed, 0xa0, 0x80],
  [0xc0, 0xaf],
  [0xef, 0xbb, 0xbf],
];

/** A text with one change. */
export function spoilText(text: string, random: Random): string {
  const at = random.integer(text.length + 1);
  const end = Math.min(text.length, at + 1 + random.integer(random.pick([1, 4, 40])));
  const part = text.slice(at, end);
  switch (random.integer(7)) {
    case 0:
      return text.slice(0, at) + text.slice(end);
    case 1:
      return text.slice(0, end) + part.repeat(random.pick([1, 2, 50])) + text.slice(end);
    case 2:
      return text.slice(0, at);
    case 3:
      return text.slice(0, at) + text.slice(end) + part;
    case 4:
      return text.slice(0, at) + [...part].reverse().join("") + text.slice(end);
    default:
      return text.slice(0, at) + random.pick(PIECES) + text.slice(random.integer(2) === 0 ? at : end);
  }
}

/** A text with one to four changes. */
export function mutateText(text: string, random: Random): string {
  let changed = text;
  for (let left = 1 + random.integer(random.integer(4) + 1); left > 0; left--)
    changed = spoilText(changed, random);
  return changed;
}

const encoder = new TextEncoder();

/** The bytes of a text; of one in sixteen some are changed. */
export function bytesOf(text: string, random: Random): Uint8Array {
  const bytes = encoder.encode(text);
  return random.integer(16) === 0 ? mutateBytes(bytes, random) : bytes;
}

/** Bytes with one to four changes. */
export function mutateBytes(bytes: Uint8Array, random: Random): Uint8Array {
  let changed = bytes;
  for (let left = 1 + random.integer(random.integer(4) + 1); left > 0; left--)
    changed = spoilBytes(changed, random);
  return changed;
}

function spoilBytes(bytes: Uint8Array, random: Random): Uint8Array {
  const at = random.integer(bytes.length + 1);
  const end = Math.min(bytes.length, at + 1 + random.integer(8));
  switch (random.integer(5)) {
    case 0:
      return concatBytes([bytes.subarray(0, at), bytes.subarray(end)]);
    case 1:
      return concatBytes([
        bytes.subarray(0, at),
        Uint8Array.from(random.pick(BROKEN_BYTES)),
        bytes.subarray(at),
      ]);
    case 2:
      return bytes.slice(0, at);
    case 3:
      return concatBytes([bytes.subarray(0, end), bytes.subarray(at, end), bytes.subarray(end)]);
    default: {
      const flipped = bytes.slice();
      if (at < bytes.length) flipped[at] = (flipped[at] as number) ^ (1 << random.integer(8));
      return flipped;
    }
  }
}
