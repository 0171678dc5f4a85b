// What Math.max(...list) and list.push(...more) do, for lists of any length: an argument for each item overflows the
// call stack at some hundred thousand.

/** The largest of some numbers; −∞ where there are none. */
export function largest(values: Iterable<number>): number {
  let most = -Infinity;
  for (const value of values) most = Math.max(most, value);
  return most;
}

/** The smallest of some numbers; ∞ where there are none. */
export function smallest(values: Iterable<number>): number {
  let least = Infinity;
  for (const value of values) least = Math.min(least, value);
  return least;
}

/** Puts more items at the end of a list. */
export function append<T>(list: T[], more: Iterable<T>): void {
  for (const item of more) list.push(item);
}
