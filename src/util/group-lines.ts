/**
 * Lines that differ only in numbers between dots (`model.layers.0.norm.weight`), as one with `*` for them and their
 * count; the others as they are. In the order of the first of each.
 */
export function groupLines(lines: readonly string[]): string[] {
  const groups = new Map<string, { first: string; count: number }>();
  for (const line of lines) {
    const pattern = line.replace(/(?<=\.)\d+(?=\.)/g, "*");
    const group = groups.get(pattern);
    if (group) group.count++;
    else groups.set(pattern, { first: line, count: 1 });
  }
  return Array.from(groups, ([pattern, { first, count }]) =>
    count === 1 ? first : `${pattern} (${count} of these)`,
  );
}

/** Lines, or the first of them and how many more. */
export function firstLines(lines: readonly string[], most: number): readonly string[] {
  if (lines.length <= most) return lines;
  return [...lines.slice(0, most - 1), `and ${lines.length - most + 1} more`];
}

/** Names in one line: the first ones as they are, and how many more. */
export function firstOf(names: readonly string[], most = 20): string {
  const more = names.length > most ? ` and ${names.length - most} more` : "";
  return names.slice(0, most).join(", ") + more;
}

/** Names in one line: the first few, grouped as {@link groupLines} does, and how many more. */
export function shortList(names: readonly string[], most = 5): string {
  const groups = groupLines(names);
  const more = groups.length > most ? ` and ${groups.length - most} more` : "";
  return groups.slice(0, most).join(", ") + more;
}
