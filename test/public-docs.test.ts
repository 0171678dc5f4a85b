import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ROOT } from "./support/shaders.ts";

const read = (path: string) => readFileSync(join(ROOT, "src", path), "utf8").split("\n");

/** Names that src/api.ts exports, and the file of each. */
const exported = [
  ...read("api.ts")
    .join("\n")
    .matchAll(/export (?:type )?\{([^}]*)\} from "\.\/(.+)"/g),
].flatMap(([, names, file]) =>
  (names as string)
    .split(",")
    .map((name) => ({ name: name.trim().replace("type ", ""), file: file as string }))
    .filter(({ name }) => name !== ""),
);

const isDocumented = (lines: readonly string[], at: number) => lines[at - 1]?.trim().endsWith("*/") ?? false;

/** The declaration, and for a class or an interface each of its public members, that have no comment before them. */
function undocumented(lines: readonly string[], name: string): string[] {
  const kinds = "(?:async )?(?:function\\*?|const|class|interface|type)";
  const at = lines.findIndex((line) => new RegExp(`^export ${kinds} ${name}\\b`).test(line));
  if (at < 0) return [`${name} is not declared where src/api.ts says`];
  const own = isDocumented(lines, at) ? [] : [name];
  if (!/^export (class|interface)/.test(lines[at]!)) return own;
  const end = lines.indexOf("}", at);
  const isMember = (line: string) =>
    /^ {2}(?!constructor|override)(readonly |get |async )*[a-zA-Z]\w*[?(:<]/.test(line);
  const members = lines.flatMap((line, i) => {
    const bare = i > at && i < end && isMember(line) && !isDocumented(lines, i);
    return bare ? [`${name}: ${line.trim()}`] : [];
  });
  return [...own, ...members];
}

test("everything that the package exports says what it is, down to its members", () => {
  expect(exported.length).toBeGreaterThan(50);
  expect(exported.flatMap(({ name, file }) => undocumented(read(file), name))).toEqual([]);
});

test.each(["index.node.ts", "index.web.ts", "load/loaders.ts"])("so does what %s adds", (file) => {
  const lines = read(file);
  const names = lines.flatMap(
    (line) => /^export (?:async )?(?:function|interface|const) (\w+)/.exec(line)?.[1] ?? [],
  );
  expect(names.length).toBeGreaterThan(2);
  expect(names.flatMap((name) => undocumented(lines, name))).toEqual([]);
});
