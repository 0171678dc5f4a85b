import { fail } from "../../util/fail.ts";

/** A web address, with what is secret about it kept apart. */
export interface Address {
  /** Without user, password, query, fragment and trailing slash: for messages, names and files that are written. */
  readonly base: string;
  /** The query with its question mark, which may hold a signature; empty where there is none. */
  readonly query: string;
  /** What the user and the password of the address are sent as. */
  readonly authorization: string | undefined;
}

/**
 * Reads an `http(s)` address.
 * @param where what the address is of, for messages
 */
export function readAddress(text: string, where: string): Address {
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text))
    fail(
      where,
      `${JSON.stringify(shownAddress(text))} is no http(s) address`,
      "write it with https:// before it",
    );
  const { protocol, host, pathname, search, username, password } = new URL(text);
  const base = `${protocol}//${host}${pathname}`.replace(/\/+$/, "");
  return { base, query: search, authorization: username || password ? basic(username, password) : undefined };
}

/** The address of a file in the folder that an address names; a signature of the folder goes for its files, too. */
export function fileAddress({ base, query }: Pick<Address, "base" | "query">, name: string): string {
  return `${base}/${name.split("/").map(encodeURIComponent).join("/")}${query}`;
}

/** An address for messages: user and password, query and fragment, each of which may be a secret, are left out. */
export function shownAddress(text: string): string {
  const plain = text.replace(/[?#].*$/s, (rest) => (rest.startsWith("?") && rest.length > 1 ? "?…" : ""));
  // To the last @ before the path: a password may hold one, too.
  return plain.replace(/^([a-z][a-z0-9+.-]*:[\\/]+)?[^/\\]*@/i, "$1…@");
}

/** A model reference for messages: an address without its secrets, anything else as it is. */
export function shownReference(text: string): string {
  return /^https?:/i.test(text) ? shownAddress(text) : text;
}

/** HTTP's basic authentication, in UTF-8. */
function basic(username: string, password: string): string {
  const pair = new TextEncoder().encode(`${decoded(username)}:${decoded(password)}`);
  return `Basic ${btoa(Array.from(pair, (byte) => String.fromCharCode(byte)).join(""))}`;
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
