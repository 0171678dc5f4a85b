import { endOfString } from "./scan.ts";

/** The numbers of a JSON text as they are spelled: JSON.parse does not tell `1.0` and `1e0` from `1`. `text` must be valid. */
export function* numbersOf(text: string): Generator<string> {
  const next = /["\d-]/g;
  for (let found = next.exec(text); found !== null; found = next.exec(text)) {
    const { index } = found;
    if (found[0] === '"') next.lastIndex = endOfString(text, index);
    else {
      NUMBER.lastIndex = index;
      const [number = ""] = NUMBER.exec(text) ?? [];
      yield number;
      next.lastIndex = index + number.length;
    }
  }
}

const NUMBER = /[-+.\deE]+/y;
