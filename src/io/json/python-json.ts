import { compareCodePoints } from "../../util/code-points.ts";

/**
 * A JSON value as Python's `json.dumps(value, indent=2, sort_keys=True)` writes it: keys in the order of their code
 * points, ASCII only, floats as `repr` shows them. JavaScript does not tell 1 from 1.0: `isFloat` names the keys
 * whose numbers are floats even where they are whole.
 */
export function pythonJson(value: unknown, isFloat: (key: string) => boolean = () => false): string {
  return dump(value, "\n", false, isFloat);
}

const LAYOUT = { indent: "  ", between: "," };

/** `newline` carries the indentation; `float` says whether a number at this place is a float. */
function dump(value: unknown, newline: string, float: boolean, isFloat: (key: string) => boolean): string {
  if (typeof value === "number")
    return float || !Number.isInteger(value) ? pythonFloat(value) : String(value);
  if (typeof value === "string") return pythonString(value);
  if (typeof value !== "object" || value === null) return JSON.stringify(value ?? null);
  const inner = newline + LAYOUT.indent;
  if (Array.isArray(value)) {
    const items = value.map((item) => dump(item, inner, float, isFloat));
    return bracket(["[", "]"], items, newline, LAYOUT);
  }
  const entries = Object.entries(value).sort(([a], [b]) => compareCodePoints(a, b));
  const items = entries.map(
    ([key, item]) => `${pythonString(key)}: ${dump(item, inner, isFloat(key), isFloat)}`,
  );
  return bracket(["{", "}"], items, newline, LAYOUT);
}

/**
 * Items in brackets as `json.dumps` lays them out.
 * @param newline a line end with the indentation around
 * @param indent what one level is indented by; undefined where all is on one line
 * @param between stands between two items
 */
export function bracket(
  [open, close]: readonly [string, string],
  items: readonly string[],
  newline: string,
  { indent, between }: { readonly indent: string | undefined; readonly between: string },
): string {
  if (items.length === 0) return `${open}${close}`;
  if (indent === undefined) return open + items.join(between) + close;
  const inner = newline + indent;
  return open + inner + items.join(between + inner) + newline + close;
}

/** A float as Python's `repr` shows it: shortest digits, an exponent below 1e-4 and from 1e16, never a bare integer. */
export function pythonFloat(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value < 0 ? "-Infinity" : "Infinity";
  const [mantissa = "", exponentText = "0"] = value.toExponential().split("e");
  const exponent = Number(exponentText);
  const sign = Object.is(value, -0) ? "-" : "";
  if (value !== 0 && (exponent < -4 || exponent >= 16)) {
    return `${mantissa}e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
  }
  // JavaScript writes an exponent below 1e-6 and from 1e21 only, so this has none.
  const plain = String(value);
  return sign + (plain.includes(".") ? plain : `${plain}.0`);
}

/** A string in ASCII, escaped as Python does (`ensure_ascii`): pairs of surrogates one by one, hex in lower case. */
export function pythonString(text: string): string {
  const code = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return JSON.stringify(text).replace(/[\u007f-\uffff]/g, code);
}
