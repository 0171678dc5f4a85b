// The rules of the source tree (docs: layers, kernels' four places), over paths and texts so that they can be tested.

/** Path → text of a source tree's `.ts` and `.wgsl` files, relative to its root. */
export type Tree = ReadonlyMap<string, string>;

const LEVELS: Readonly<Record<string, number>> = {
  util: 0,
  gpu: 1,
  kernels: 2,
  autograd: 3,
  nn: 4,
  models: 5,
  adapters: 5,
  io: 5,
  load: 6,
  data: 6,
  train: 6,
  platform: 7,
  cli: 7,
  web: 7,
  engine: 7,
};
const TOP = 7; // files directly in src
const SIBLINGS = 5; // folders of this level never import each other
const MAX_LINES = 400;
/** Shaders that serve tests and have no wrapper. */
const TEST_SHADERS = ["shaders/fill.wgsl"];
/** They hand shaders to wrappers, late, and compute nothing. */
const SHADER_LOADERS = ["src/kernels/rasteriser-shaders.ts"];

/** All breaches of the rules, one line each. */
export function breaches(tree: Tree): string[] {
  const imports = new Map([...tree].map(([path, text]) => [path, importsOf(path, text)]));
  return [
    ...[...tree].flatMap(([path, text]) => tooLong(path, text)),
    ...[...tree].filter(([path]) => isSource(path)).flatMap(([path, text]) => foreignWords(path, text)),
    ...[...imports].flatMap(([path, targets]) => targets.flatMap((target) => forbiddenImport(path, target))),
    ...cycles(imports).map((cycle) => `import cycle: ${cycle.join(" → ")}`),
    ...kernelPlaces(tree, imports),
  ];
}

const isSource = (path: string) => path.startsWith("src/") && !path.endsWith(".d.ts");

function tooLong(path: string, text: string): string[] {
  const lines = text.replace(/\n$/, "").split("\n").length;
  return lines > MAX_LINES ? [`${path}: ${lines} lines, at most ${MAX_LINES} are allowed`] : [];
}

/** Paths of the tree's own files that a file imports, types included. */
function importsOf(path: string, text: string): string[] {
  if (!path.endsWith(".ts")) return [];
  const found = withoutComments(text).matchAll(/\b(?:from|import)\s*\(?\s*"(\.[^"]+)"/g);
  return [...found].map(([, relative]) => new URL(relative as string, `file:///${path}`).pathname.slice(1));
}

/** Comments blanked; a string that looks like one is left as it is. */
function withoutComments(text: string): string {
  const pattern = /"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|\/\/[^\n]*|\/\*[\s\S]*?\*\//g;
  return text.replace(pattern, (match) => (match.startsWith("/") ? " " : match));
}

function folderOf(path: string): string {
  const parts = path.split("/");
  return parts.length > 2 ? (parts[1] as string) : "";
}

function levelOf(path: string): number {
  const folder = folderOf(path);
  return folder === "" ? TOP : (LEVELS[folder] ?? Number.NaN);
}

function forbiddenImport(from: string, to: string): string[] {
  if (!isSource(from)) return [];
  if (Number.isNaN(levelOf(from))) return [`${from}: the folder has no level`];
  if (to.startsWith("shaders/")) {
    return folderOf(from) === "kernels" ? [] : [`${from} imports ${to}: only kernels import shaders`];
  }
  if (!to.startsWith("src/")) return [`${from} imports ${to}, which is no source`];
  if (levelOf(to) > levelOf(from))
    return [`${from} (level ${levelOf(from)}) imports ${to} (level ${levelOf(to)})`];
  const siblings = levelOf(from) === SIBLINGS && levelOf(to) === SIBLINGS && folderOf(from) !== folderOf(to);
  return siblings ? [`${from} imports ${to}: level-${SIBLINGS} folders know nothing of each other`] : [];
}

const NODE_GLOBALS = ["process", "Buffer", "require", "__dirname", "__filename"];
const DOM_GLOBALS = [
  "window",
  "document",
  "navigator",
  "location",
  "localStorage",
  "sessionStorage",
  "indexedDB",
];

/** Words that belong to one platform or that the style sheet rules out. */
function foreignWords(path: string, text: string): string[] {
  const folder = folderOf(path);
  const code = withoutComments(text);
  const knowsNode = folder === "platform" || folder === "cli";
  const knowsDom = folder === "platform" || folder === "web";
  const problems: string[] = [];
  if (!knowsNode && /["']node:/.test(code)) problems.push("imports a node: module");
  const globals = [...(knowsNode ? [] : NODE_GLOBALS), ...(knowsDom ? [] : DOM_GLOBALS)];
  for (const name of globals.filter((name) => usesGlobal(code, name)))
    problems.push(`uses the global ${name}`);
  if (/^export default\b/m.test(code)) problems.push("has a default export");
  for (const name of spreadCalls(code))
    problems.push(`spreads a list into ${name}(): a long one overflows the stack; see src/util/arrays.ts`);
  if (/[:<|&,]\s*any\b(?!["'`\w])|\bas any\b/.test(withoutTexts(code))) problems.push("uses the type any");
  return problems.map((problem) => `${path} ${problem}`);
}

/** Calls of functions for lists of any length that get one as an argument for each item. */
function spreadCalls(code: string): string[] {
  const text = withoutTexts(code);
  const calls = text.matchAll(
    /(Math\.(?:max|min)|(?<=\.)(?:push|unshift|concat|fromCharCode|fromCodePoint))\(/g,
  );
  return [...calls]
    .filter((call) => hasSpread(text.slice(call.index + call[0].length)))
    .map(([, name]) => name as string);
}

/** Whether `...` stands among the arguments, which begin here, themselves. */
function hasSpread(args: string): boolean {
  let depth = 0;
  for (const [token] of args.matchAll(/[([{]|[)\]}]|\.{3}/g)) {
    if (token === "...") {
      if (depth === 0) return true;
    } else depth += "([{".includes(token) ? 1 : -1;
    if (depth < 0) return false;
  }
  return false;
}

const withoutTexts = (code: string) =>
  code.replace(/`(?:\\[\s\S]|[^`\\])*`|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'/g, '""');

function usesGlobal(code: string, name: string): boolean {
  const text = withoutTexts(code);
  const isBound = new RegExp(`(?<![.\\w])${name}\\s*(?:[:,)}]|=[^=]|=>)`).test(text);
  const isUsed = new RegExp(`(?<![.\\w])(?:globalThis\\??\\.)?${name}\\s*(?:\\??\\.|\\(|\\[)`).test(text);
  return (isUsed && !isBound) || new RegExp(`\\bglobalThis\\??\\.${name}\\b`).test(text);
}

/** Import cycles, each once; the first file is repeated at the end. */
function cycles(imports: ReadonlyMap<string, readonly string[]>): string[][] {
  const found: string[][] = [];
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    const start = trail.indexOf(path);
    if (start >= 0) found.push([...trail.slice(start), path]);
    if (start >= 0 || done.has(path)) return;
    for (const target of imports.get(path) ?? []) visit(target, [...trail, path]);
    done.add(path);
  };
  for (const path of imports.keys()) visit(path, []);
  return found;
}

/** Every shader has a wrapper, and every wrapper an f64 reference, a test and a benchmark that use it. */
function kernelPlaces(tree: Tree, imports: ReadonlyMap<string, readonly string[]>): string[] {
  const shaders = [...tree.keys()].filter((path) => /^shaders\/[^/]+\.wgsl$/.test(path));
  const wrappers = [...imports].filter(([path]) => path.startsWith("src/kernels/"));
  const wrapped = new Set(wrappers.flatMap(([, targets]) => targets));
  const bare = shaders.filter((path) => !wrapped.has(path) && !TEST_SHADERS.includes(path));
  const computing = wrappers.filter(
    ([path, targets]) => !SHADER_LOADERS.includes(path) && targets.some((target) => target.endsWith(".wgsl")),
  );
  return [
    ...bare.map((path) => `${path}: no wrapper in src/kernels imports it`),
    ...computing.flatMap(([path]) => missingPlaces(path, tree, imports)),
  ];
}

function missingPlaces(
  wrapper: string,
  tree: Tree,
  imports: ReadonlyMap<string, readonly string[]>,
): string[] {
  const name = wrapper.slice("src/kernels/".length, -".ts".length);
  const users = [`test/kernels/${name}.test.ts`, `kernels-bench/${name}.bench.ts`];
  const places = [`test/reference/${name}.ts`, ...users];
  const missing = places.filter((place) => !tree.has(place));
  const idle = users.filter((user) => tree.has(user) && !imports.get(user)?.includes(wrapper));
  return [
    ...missing.map((place) => `${wrapper}: ${place} is missing`),
    ...idle.map((user) => `${user} does not use ${wrapper}`),
    ...untested(wrapper, name, tree),
  ];
}

/** Functions of a wrapper that take or make tensors and that its test never names. */
function untested(wrapper: string, name: string, tree: Tree): string[] {
  const test = withoutTexts(tree.get(`test/kernels/${name}.test.ts`) ?? "");
  if (test === "") return [];
  const exported = (tree.get(wrapper) ?? "").matchAll(/^export (?:async )?function\*? (\w+)([\s\S]*?)\{\n/gm);
  const computing = [...exported].filter(([, , signature]) => signature?.includes("Tensor"));
  const names = computing
    .map(([, name]) => name as string)
    .filter((name) => !new RegExp(`\\b${name}\\b`).test(test));
  return names.map((name) => `${wrapper}: the test of this kernel does not call ${name}`);
}
