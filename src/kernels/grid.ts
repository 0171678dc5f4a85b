/** Most workgroups that one dimension of a dispatch may have on every device. */
const MAX_GROUPS = 65_535;

/**
 * A grid of at least `count` workgroups, folded into y above 65 535.
 * Shaders linearise with `group.y * grid.x + group.x` and return past the end.
 */
export function foldGrid(count: number): [number, number] {
  if (count <= MAX_GROUPS) return [Math.max(count, 1), 1];
  const rows = Math.ceil(count / MAX_GROUPS);
  return [Math.ceil(count / rows), rows];
}
