/** A whole number as people write it: 12,345. */
export const count = (n: number): string => n.toLocaleString("en-US");
