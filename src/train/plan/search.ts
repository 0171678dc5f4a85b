/**
 * The largest whole number from `least` to `most` that fits, where all below one that fits do, too.
 * @returns undefined where none does
 */
export async function largestThatFits(
  fits: (n: number) => Promise<boolean>,
  least: number,
  most: number,
): Promise<number | undefined> {
  if (least > most || !(await fits(least))) return undefined;
  let [good, bad] = [least, most + 1];
  // Doubling finds the order of magnitude: a small number is measured in less time than one in the middle.
  for (let next = 2 * good; next < bad; next = 2 * good) {
    if (await fits(next)) good = next;
    else bad = next;
  }
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    if (await fits(middle)) good = middle;
    else bad = middle;
  }
  return good;
}
