// The library for bundlers: a file for each module, so that what a program does not use stays out; the core in one file, since a page
// loads one faster than thirty; and what is loaded late.
import { readFile, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { build } from "esbuild";
import { esbuildWgsl } from "./wgsl-plugin.mjs";

const common = {
  bundle: true,
  format: "esm",
  target: "es2022",
  platform: "browser",
  logLevel: "warning",
};

/** What the core is: one LoRA trained on a language model of the hub, saved, and asked. */
export const CORE = "attach, generate, loadModel, lora, openDevice, saveAdapter, train";

/** A program that imports the core and nothing else. */
export const coreProgram = (from = "./src/index.web.ts") => ({
  contents: `export { ${CORE} } from "${from}"`,
  resolveDir: process.cwd(),
});

/**
 * Writes the files of the library's modules.
 * @param inputs esbuild's facts about each of them
 */
export async function buildModules({ inputs }, outdir) {
  const own = Object.keys(inputs).filter((path) => !path.includes("node_modules"));
  const core = await coreModules();
  const { late, exportsOf } = await buildApart(own, outdir);
  const names = coreNames(core.joined, exportsOf);
  await buildCore(names, outdir);
  await buildLate(late, { used: core.used, names }, outdir);
}

/**
 * What the core has at once: what a program loads that trains one LoRA and asks it.
 * @returns `used`: modules of which something is in that program; `joined`: these and all that they import, which lie in one file
 */
async function coreModules() {
  const lateApart = {
    name: "late-apart",
    setup(build) {
      build.onResolve({ filter: /.*/ }, ({ path, kind }) =>
        kind === "dynamic-import" ? { path, external: true } : undefined,
      );
    },
  };
  const { metafile } = await build({
    ...common,
    plugins: [lateApart, esbuildWgsl],
    stdin: coreProgram(),
    write: false,
    metafile: true,
  });
  const [{ inputs }] = Object.values(metafile.outputs);
  const used = new Set(Object.keys(inputs).filter((path) => inputs[path].bytesInOutput > 0));
  const joined = new Set();
  const join = (path) => {
    if (joined.has(path) || EVERYTHING.has(path)) return;
    joined.add(path);
    for (const { path: next, external } of metafile.inputs[path].imports) if (!external) join(next);
  };
  for (const path of used) join(path);
  return { used, joined };
}

/** Modules that name all that there is. */
const EVERYTHING = new Set(["<stdin>", "src/index.web.ts", "src/api.ts"]);

/** Writes each module into a file of its own. Gives those that are loaded late, and what each exports. */
async function buildApart(own, outdir) {
  const late = new Set();
  const apart = {
    name: "apart",
    setup(build) {
      build.onResolve({ filter: /.*/ }, ({ path, kind, resolveDir }) => {
        if (kind === "entry-point") return undefined;
        if (kind !== "dynamic-import" || !path.startsWith("."))
          return { path: builtName(path), external: true };
        const target = relative(process.cwd(), join(resolveDir, path));
        late.add(target);
        return { path: relativeTo(resolveDir, join("late", builtName(target))), external: true };
      });
    },
  };
  const { metafile } = await build({
    ...common,
    ...{ plugins: [apart, esbuildWgsl], entryPoints: own, outbase: ".", outdir, metafile: true },
  });
  const exportsOf = new Map(
    Object.values(metafile.outputs).map(({ entryPoint, exports }) => [entryPoint, exports]),
  );
  return { late, exportsOf };
}

/** What `core.js` calls the exports of each of its modules, two of which may use one name. */
function coreNames(joined, exportsOf) {
  const modules = [...joined].filter((path) => exportsOf.has(path)).sort();
  return new Map(
    modules.map((path, i) => [path, new Map(exportsOf.get(path).map((name) => [name, `${name}$${i}`]))]),
  );
}

/** The inside of an `import` or `export` statement: pairs of names. */
const listed = (names, toPair) => Array.from(names, (pair) => toPair(pair).join(" as ")).join(", ");

/**
 * Writes the core's modules into one file, `core.js`, and in place of the file of each what names its part of that one: bundlers make a
 * file for each set of modules that is loaded together, and the core would be thirty.
 */
async function buildCore(names, outdir) {
  const lateStays = {
    name: "late-stays",
    setup(build) {
      build.onResolve({ filter: /.*/ }, ({ path, kind, resolveDir }) => {
        if (kind === "dynamic-import" && path.startsWith(".")) {
          const target = relative(process.cwd(), join(resolveDir, path));
          return { path: `./${join("late", builtName(target))}`, external: true };
        }
        return path.startsWith(".") ? undefined : { path, external: true };
      });
    },
  };
  const statements = Array.from(
    names,
    ([path, own]) => `export { ${listed(own, (pair) => pair)} } from "./${path}";`,
  );
  await build({
    ...common,
    plugins: [lateStays, esbuildWgsl],
    stdin: { contents: statements.join("\n"), resolveDir: process.cwd() },
    outfile: join(outdir, "core.js"),
  });
  const pointTo = ([path, own]) =>
    writeFile(
      join(outdir, builtName(path)),
      `export { ${listed(own, ([name, there]) => [there, name])} } from "${relativeTo(dirname(path), "core.js")}";\n`,
    );
  await Promise.all(Array.from(names, pointTo));
}

/**
 * Writes what is loaded late into files of their own, with copies of what the core does not have: esbuild would load at once what is
 * late for some and exported for others. A module that remembers something is there once.
 */
async function buildLate(late, core, outdir) {
  const inCore = {
    name: "in-core",
    setup(build) {
      build.onResolve({ filter: /^[^.]/ }, ({ kind }) =>
        kind === "entry-point" ? undefined : { external: true },
      );
      build.onResolve({ filter: /^\./ }, async ({ path, kind, resolveDir }) => {
        if (kind === "entry-point") return undefined;
        const target = relative(process.cwd(), join(resolveDir, path));
        if (!core.used.has(target) && !(await remembers(target))) return undefined;
        return { path: `core:${target}`, external: true };
      });
    },
  };
  const { metafile } = await build({
    ...common,
    plugins: [inCore, esbuildWgsl],
    entryPoints: [...late],
    outbase: ".",
    outdir: join(outdir, "late"),
    splitting: true,
    chunkNames: "shared/[hash]",
    metafile: true,
  });
  await Promise.all(Object.keys(metafile.outputs).map((file) => nameCore(file, core.names, outdir)));
}

const builtName = (path) => path.replace(/\.(ts|wgsl)$/, ".js");

/** How a file in `folder` of the sources names one that is built to `path`. */
function relativeTo(folder, path) {
  const name = relative(relative(process.cwd(), folder), path).replaceAll("\\", "/");
  return name.startsWith(".") ? name : `./${name}`;
}

/** Writes into a file of what is loaded late how it names what the core has. */
async function nameCore(file, names, outdir) {
  const text = await readFile(file, "utf8");
  const at = (path) => JSON.stringify(relative(dirname(file), join(outdir, path)).replaceAll("\\", "/"));
  // esbuild's own order of chunks goes: none does anything when it is loaded.
  const named = text.replace(/^import "[^"]+";\n/gm, "").replace(FROM_CORE, (_, keyword, clause, path) => {
    const own = names.get(path);
    if (own === undefined || clause.startsWith("*"))
      return `${keyword} ${clause} from ${at(builtName(path))}`;
    return `${keyword} { ${listed(pairsOf(clause), ([name, here]) => [own.get(name), here])} } from ${at("core.js")}`;
  });
  await writeFile(file, named);
}

const FROM_CORE = /^(import|export) ([^;"]+?) from "core:(.+?)"/gm;

/** The names of a statement's inside as esbuild writes it, such as `shader, { a, b as c }`. */
function pairsOf(clause) {
  const [, whole, list = ""] = /^([\w$]*),?\s*(?:\{([^}]*)\})?$/.exec(clause);
  const pairs = list.split(",").map((pair) => pair.trim().split(" as "));
  const named = pairs.filter(([name]) => name !== "").map(([name, here = name]) => [name, here]);
  return whole === "" ? named : [["default", whole], ...named];
}

/** Whether a module remembers something, so that there must not be two copies of it. */
async function remembers(path) {
  if (!path.endsWith(".ts")) return false;
  const withoutCaches = (await readFile(path, "utf8")).replace(/^.*\/\/ a cache$/gm, "");
  return /^(export )?(let |const .+ = new (Weak|Map|Set)|const .+ = late\()|\bSymbol\(/m.test(withoutCaches);
}
