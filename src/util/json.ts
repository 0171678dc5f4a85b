/** A JSON object whose fields have not been checked yet. */
export type JsonObject = { readonly [key: string]: unknown };

/** The value where it is a text. String() would take `["a"]` for one, and fail at an object with a `toString` of its own. */
export function asText(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** Whether a parsed JSON value is an object: no array, no null. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
