/** Order of Python strings. `<` goes by UTF-16 units, which differs beyond U+FFFF. */
export function compareCodePoints(a: string, b: string): number {
  const x = Array.from(a, (character) => character.codePointAt(0)!);
  const y = Array.from(b, (character) => character.codePointAt(0)!);
  const differs = x.findIndex((point, i) => point !== y[i]);
  if (differs < 0) return x.length - y.length;
  return x[differs]! - (y[differs] ?? -1);
}
