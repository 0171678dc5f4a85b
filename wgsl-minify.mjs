// Makes shaders small for browsers: no comments, little white space, short names.
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

const IDENTIFIER = /\b[A-Za-z_]\w*\b/g;
/** What specialising a shader looks for, and so has to stay as it is. */
const SPECIALISED = /^(?:const|alias) (\w+)/gm;
const DECLARED = /\b(?:fn|let|const|struct|var(?:<[^>]*>)?) (\w+)|\b(\w+) ?:/g;
const ATTRIBUTES = /@\w+(?:\([^)]*\))?/g;
const ENTRIES = /@compute[^\n]*\s+fn (\w+)/g;

/** A shader without comments. An indented line stays one: only what begins a line can be specialised. */
export function withoutComments(code) {
  const lines = code.split("\n").map((line) => line.replace(/\/\/.*$/, "").trimEnd());
  return lines
    .filter((line) => line !== "")
    .map((line) => line.replace(/^\s+/, " "))
    .join("\n");
}

const all = (code, pattern) =>
  Array.from(code.matchAll(pattern), ([whole, ...groups]) => groups.find(Boolean) ?? whole);

/**
 * A short name for each long one that shaders declare: the same one wherever the name stands, so that whatever two places called
 * alike they still do, and nothing else. Names that a file uses and does not declare are WGSL's own.
 * @param files the text of each shader, with what it imports
 */
export function shortNames(files) {
  const counts = new Map();
  const declared = new Set();
  const kept = new Set(["default"]); // of a switch, before a colon
  for (const text of files) {
    const code = withoutComments(text);
    const own = new Set(all(code, DECLARED));
    for (const name of all(code, IDENTIFIER)) {
      counts.set(name, (counts.get(name) ?? 0) + 1);
      if (own.has(name)) declared.add(name);
      else kept.add(name);
    }
    for (const name of [...all(code, SPECIALISED), ...all(code, ENTRIES)]) kept.add(name);
    for (const [attribute] of code.matchAll(ATTRIBUTES))
      for (const name of all(attribute, IDENTIFIER)) kept.add(name);
  }
  const long = [...declared].filter((name) => name.length > 2 && !kept.has(name));
  const sorted = long.sort((a, b) => counts.get(b) - counts.get(a) || (a < b ? -1 : 1));
  const free = freeNames(counts);
  return new Map(sorted.map((name) => [name, free.next().value]));
}

/** Names that nobody has: a letter, or a letter and digits, as which WGSL has no word. */
function* freeNames(taken) {
  const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  for (let digits = -1; ; digits++) {
    for (const letter of letters) {
      const name = digits < 0 ? letter : `${letter}${digits}`;
      if (!taken.has(name)) yield name;
    }
  }
}

/** A shader with these names, and without white space that says nothing. */
export function minified(code, names) {
  const lines = withoutComments(code)
    .replace(IDENTIFIER, (name) => names.get(name) ?? name)
    .split("\n")
    .map((line) => (/^(?:const|alias) /.test(line) ? line : line.replace(/ ?([,;:{}()[\]+]) ?/g, "$1")));
  return lines.join("\n").replace(/(\W)\n (?=\S)/g, "$1");
}

/** The short names for the shaders of a folder; `expand` puts what they import into them. */
export async function shortNamesOf(folder, expand) {
  const names = (await readdir(folder)).filter((name) => name.endsWith(".wgsl")).sort();
  const texts = names.map(async (name) => expand(await readFile(join(folder, name), "utf8")));
  return shortNames(await Promise.all(texts));
}
