// Turns a `.wgsl` file into a plain object at build time, so that no browser pays for reflection:
// { name, code, constants, aliases, params, entries }. esbuild and vitest share it, so layouts cannot drift.
import { readFile } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { WgslReflect } from "wgsl_reflect/wgsl_reflect.module.js";

const SHADERS = resolve(import.meta.dirname, "shaders");
const IMPORT = /^\/\/ #import "(.+)"$/gm;

/** Expands `// #import "common/x.wgsl"` lines; one level, no conditions. */
async function expandImports(source) {
  const names = [...source.matchAll(IMPORT)].map((match) => match[1]);
  const texts = await Promise.all(names.map((name) => readFile(resolve(SHADERS, name), "utf8")));
  let next = 0;
  return source.replace(IMPORT, () => texts[next++]);
}

function declarations(code, keyword) {
  const pattern = new RegExp(`^${keyword} (\\w+)(?:: (\\w+))? = (.+?);`, "gm");
  return Object.fromEntries([...code.matchAll(pattern)].map(([, name, , value]) => [name, value]));
}

/** Bindings of an entry point by name, only those that it (or what it calls) uses. */
function reflectEntry(entry) {
  const bindings = entry.resources.map(({ name, binding, access, resourceType }) => ({
    name,
    binding,
    kind: resourceType === 0 ? "uniform" : access === "read" ? "read" : "read_write",
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
    constants: declarations(code, "const"),
    aliases: declarations(code, "alias"),
    params: {
      size: params ? Math.ceil(params.size / 16) * 16 : 0,
      fields: (params?.members ?? []).map(({ name, type, offset }) => ({ name, type: type.name, offset })),
    },
    entries: Object.fromEntries(reflection.entry.compute.map((entry) => [entry.name, reflectEntry(entry)])),
  };
}

export const esbuildWgsl = {
  name: "wgsl",
  setup(build) {
    build.onLoad({ filter: /\.wgsl$/ }, async ({ path }) => ({
      contents: JSON.stringify(await loadShader(path)),
      loader: "json",
    }));
  },
};

export const viteWgsl = {
  name: "wgsl",
  enforce: "pre",
  async load(id) {
    if (id.endsWith(".wgsl")) return `export default ${JSON.stringify(await loadShader(id))}`;
  },
};
