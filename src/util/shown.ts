/** A value as JSON for a message, cut where it is long. JSON.stringify makes null of NaN and the infinities. */
export function shown(value: unknown): string {
  return startOf(typeof value === "number" ? String(value) : (JSON.stringify(value) ?? String(value)));
}

/** A text for a message, cut where it is long. */
export function startOf(text: string, most = 80): string {
  return text.length > most ? `${text.slice(0, most)}…` : text;
}
