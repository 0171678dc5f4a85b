/** What a number of something comes to. */
export interface Sized {
  readonly fits: boolean;
  /** Bytes, which grow about evenly with the number. */
  readonly total: number;
}

/** Guesses by the line through two measurements; after so many the middle is taken, which always comes to an end. */
const GUESSES = 6;

/**
 * The largest whole number from `least` to `most` that fits, where all below one that fits do, too.
 * @param room bytes that there are; undefined where what fits depends on something else
 * @returns undefined where none does
 */
export async function largestThatFits(
  measure: (n: number) => Promise<Sized>,
  { least, most, room }: { least: number; most: number; room: number | undefined },
): Promise<number | undefined> {
  if (least > most) return undefined;
  let good = { n: least, ...(await measure(least)) };
  if (!good.fits) return undefined;
  let bad = most + 1;
  let other: typeof good | undefined;
  for (let guesses = 0; bad - good.n > 1; guesses++) {
    const guess = guesses < GUESSES ? meeting(good, other, room) : undefined;
    const step = bad > most ? 2 * good.n : (good.n + bad) >> 1;
    const n = Math.min(Math.max(guess ?? step, good.n + 1), bad - 1);
    const measured = { n, ...(await measure(n)) };
    if (measured.fits) [other, good] = [good, measured];
    else [other, bad] = [measured, n];
  }
  return good.n;
}

interface Point {
  readonly n: number;
  readonly total: number;
}

/** Where the line through two points comes to a number of bytes. */
function meeting(a: Point, b: Point | undefined, room: number | undefined): number | undefined {
  if (!b || room === undefined) return undefined;
  const each = (b.total - a.total) / (b.n - a.n);
  return each > 0 ? Math.floor(a.n + (room - a.total) / each) : undefined;
}
