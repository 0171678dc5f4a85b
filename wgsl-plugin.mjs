// Turns a `.wgsl` file into a plain object at build time, so that no browser pays for reflection:
// { name, code, params, entries }. esbuild and vitest share it, so layouts cannot drift.
import { readFile } from "node:fs/promises";
import { basename, dirname, relative, resolve } from "node:path";
import { WgslReflect } from "wgsl_reflect/wgsl_reflect.module.js";
import { minified, shortNamesOf, withoutComments } from "./wgsl-minify.mjs";

const SHADERS = resolve(import.meta.dirname, "shaders");
const COMMON = resolve(SHADERS, "common");
const IMPORT = /^\/\/ #import "(.+)"$/gm;

/** Expands `// #import "common/x.wgsl"` lines; one level, no conditions. */
async function expandImports(source) {
  const names = [...source.matchAll(IMPORT)].map((match) => match[1]);
  const texts = await Promise.all(names.map((name) => readFile(resolve(SHADERS, name), "utf8")));
  let next = 0;
  return source.replace(IMPORT, () => texts[next++]);
}

const STORAGE_TEXTURE = 5;

function bindingKind(resourceType, access) {
  if (resourceType === 0) return "uniform";
  if (resourceType === STORAGE_TEXTURE) return access === "read" ? "texels" : "texels_written";
  return access === "read" ? "read" : "read_write";
}

/** Bindings of an entry point by name, only those that it (or what it calls) uses. */
function reflectEntry(entry) {
  const bindings = entry.resources.map(({ name, binding, access, resourceType }) => ({
    name,
    binding,
    kind: bindingKind(resourceType, access),
  }));
  return bindings.sort((a, b) => a.binding - b.binding);
}

/**
 * What wgsl_reflect sees of a file with types that it cannot parse (subgroup matrices): what stands above its line
 * `// #opaque`, and for each entry point below one that uses all bindings above.
 */
function transparentPart(code) {
  const [open, opaque] = code.split("// #opaque\n");
  if (opaque === undefined) return code;
  const declarations = open.replace(/^(enable|diagnostic).*;/gm, "");
  const names = [...open.matchAll(/^@group\(0\) .*?> (\w+):/gm)].map(([, name]) => name);
  const uses = names.map((name, i) => `let use${i} = ${name};`).join(" ");
  const entries = [...opaque.matchAll(/^@compute .*\nfn (\w+)/gm)].map(([, name]) => name);
  return `${declarations}${entries.map((name) => `@compute @workgroup_size(1)\nfn ${name}() { ${uses} }\n`).join("")}`;
}

/** Reads one shader file. */
export async function loadShader(path) {
  const code = await expandImports(await readFile(path, "utf8"));
  const reflection = new WgslReflect(transparentPart(code));
  const params = reflection.structs.find((struct) => struct.name === "Params");
  return {
    name: basename(path, ".wgsl"),
    code,
    params: {
      size: params ? Math.ceil(params.size / 16) * 16 : 0,
      fields: (params?.members ?? []).map(({ name, type, offset }) => ({ name, type: type.name, offset })),
    },
    entries: Object.fromEntries(reflection.entry.compute.map((entry) => [entry.name, reflectEntry(entry)])),
  };
}

/** The module that a shader file ships as. What files of `common/` hold ships once, and each shader joins it with its own. */
async function shippedModule(path, shipped) {
  if (dirname(path) === COMMON)
    return `export default ${JSON.stringify(shipped(await readFile(path, "utf8")))}`;
  const { code: _, ...facts } = await loadShader(path);
  const pieces = (await readFile(path, "utf8")).split(IMPORT); // own text and names of files by turns
  const names = pieces.filter((_, i) => i % 2 === 1);
  const imports = names.map(
    (name, i) => `import part${i} from "${relativePath(path, resolve(SHADERS, name))}";\n`,
  );
  const parts = pieces.map((piece, i) => (i % 2 ? `part${(i - 1) / 2}` : JSON.stringify(shipped(piece))));
  const code =
    parts.length === 1 ? parts[0] : `/* @__PURE__ */ [${parts.filter((part) => part !== '""')}].join("\\n")`;
  return `${imports.join("")}export default { ${JSON.stringify(facts).slice(1, -1)}, code: ${code} }`;
}

/** How an import in `from` names the file `to`. */
function relativePath(from, to) {
  const path = relative(dirname(from), to).replaceAll("\\", "/");
  return path.startsWith(".") ? path : `./${path}`;
}

let names;

/** Makes shaders small: all of them get the same names, since they share files. */
export async function minifier() {
  names ??= shortNamesOf(SHADERS, expandImports);
  const known = await names;
  return (code) => minified(code, known);
}

export const esbuildWgsl = {
  name: "wgsl",
  setup(build) {
    const isForPages = build.initialOptions.platform === "browser";
    build.onLoad({ filter: /\.wgsl$/ }, async ({ path }) => ({
      contents: await shippedModule(path, isForPages ? await minifier() : withoutComments),
      loader: "js",
    }));
  },
};

export const viteWgsl = {
  name: "wgsl",
  enforce: "pre",
  async load(id) {
    if (id.endsWith(".py")) return `export default ${JSON.stringify(await readFile(id, "utf8"))}`;
    if (id.endsWith(".wgsl")) return `export default ${JSON.stringify(await loadShader(id))}`;
  },
};
