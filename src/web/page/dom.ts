import { plainWords } from "./plain-words.ts";

/** The element of an id; page and script are of one build. @throws Error where the page has none of this kind */
export function byId<T extends HTMLElement>(id: string, kind: new () => T): T {
  const found = document.getElementById(id);
  if (found instanceof kind) return found;
  throw new Error(`the page has no ${kind.name} #${id}`);
}

/** Puts a text into an element; the same again is no news to a screen reader. */
export function say(id: string, text: string): void {
  const place = byId(id, HTMLElement);
  if (place.textContent !== text) place.textContent = text;
}

/** Shows something to know, which stays; without a text it goes away. */
export function note(id: string, text = ""): void {
  say(id, text);
  byId(id, HTMLElement).hidden = text === "";
}

/** Shows an error where the user looks, or takes it away. */
export function showError(id: string, error?: unknown): void {
  const place = byId(id, HTMLElement);
  place.hidden = error === undefined;
  place.replaceChildren(...(error === undefined ? [] : withLinks(plainWords(error))));
}

/** A text whose addresses can be pressed. */
function withLinks(text: string): (Node | string)[] {
  return text.split(/(https:\/\/[^\s,]+)/).map((part) => {
    if (!part.startsWith("https://")) return part;
    return make("a", { href: part, target: "_blank", rel: "noreferrer", textContent: part });
  });
}

/** Does what a button asks for, and shows an error where it fails. */
export async function attempt(errorId: string, task: () => Promise<void>): Promise<void> {
  showError(errorId);
  try {
    await task();
  } catch (error) {
    showError(errorId, error);
  }
}

/** Whether a button can be pressed. */
export function enable(id: string, on: boolean): void {
  byId(id, HTMLButtonElement).disabled = !on;
}

/** Shows an element, or takes it away. */
export function show(id: string, on: boolean): void {
  byId(id, HTMLElement).hidden = !on;
}

/** What the items of lists were made from. */
const madeFrom = new WeakMap<Element, string>();

/**
 * Shows a list. The item of what has not changed stays the element that it was: a press on it, the focus and what is
 * typed in it outlive that the list is shown anew.
 * @param itemOf makes the item of an entry, whose JSON tells all that the item shows and does
 */
export function showList<T>(id: string, entries: readonly T[], itemOf: (entry: T) => HTMLElement): void {
  const list = byId(id, HTMLElement);
  const before = new Map(Array.from(list.children, (item) => [madeFrom.get(item), item]));
  const items = entries.map((entry) => {
    const from = JSON.stringify(entry);
    const old = before.get(from);
    if (old && before.delete(from)) return old;
    const item = itemOf(entry);
    madeFrom.set(item, from);
    return item;
  });
  for (const old of [...list.children]) if (!items.includes(old)) old.remove();
  for (const [i, item] of items.entries())
    if (list.children[i] !== item) list.insertBefore(item, list.children[i] ?? null);
}

/** An element with what is in it. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Partial<HTMLElementTagNameMap[K]> = {},
  children: readonly (Node | string)[] = [],
): HTMLElementTagNameMap[K] {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** The second click of a double click is of the button that was there at the first: not of the one that took its place, as Pause takes that of Train. */
export function ignoreStrayClicks(): void {
  let first: Element | null = null;
  addEventListener(
    "click",
    (event) => {
      const button = event.target instanceof Element ? event.target.closest("button") : null;
      if (event.detail <= 1) first = button;
      else if (button && button !== first) {
        event.preventDefault();
        event.stopPropagation();
      }
    },
    { capture: true },
  );
}
