// A program of a page, bundled by each of the bundlers that pages are made with.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build as esbuild, transformSync } from "esbuild";
import { build as vite } from "vite";
import webpack from "webpack";

/** What a bundler takes. */
export interface Bundling {
  /** The folder of a project that has the package installed. */
  readonly project: string;
  /** The program there. */
  readonly entry: string;
  /** Where the bundle goes, `main.js` and what is loaded late. */
  readonly outdir: string;
}

/** Bundlers by their names. */
export const BUNDLERS: Readonly<Record<string, (bundling: Bundling) => Promise<void>>> = {
  async esbuild({ project, entry, outdir }) {
    await esbuild({
      absWorkingDir: project,
      entryPoints: { main: join(project, entry) },
      outdir,
      bundle: true,
      minify: true,
      splitting: true,
      format: "esm",
      logLevel: "error",
    });
  },
  async vite({ project, entry, outdir }) {
    await vite({
      root: project,
      configFile: false,
      logLevel: "error",
      build: {
        outDir: outdir,
        emptyOutDir: true,
        chunkSizeWarningLimit: Number.POSITIVE_INFINITY,
        rolldownOptions: {
          input: join(project, entry),
          output: { entryFileNames: "main.js" },
        },
      },
    });
  },
  async webpack({ project, entry, outdir }) {
    await new Promise<void>((done, failed) => {
      const config = {
        context: project,
        mode: "production",
        optimization: { minimize: false }, // its own way takes half a minute
        target: "web",
        entry: join(project, entry),
        experiments: { outputModule: true },
        output: { path: outdir, filename: "main.js", module: true },
        performance: false,
      } as const;
      webpack(config, (error, stats) => {
        if (error) failed(error);
        else if (stats?.hasErrors()) failed(new Error(stats.toString("errors-only")));
        else done();
      });
    });
  },
};

/** What a bundle is made of. */
export interface Bundle {
  readonly text: string;
  /** Bytes of what is loaded at once, compressed as a server sends them. */
  readonly zippedBytes: number;
}

/** Reads a bundle: `main.js` with all that it imports before it runs. */
export function readBundle(outdir: string): Bundle {
  const loaded = new Map<string, string>();
  const load = (path: string) => {
    if (loaded.has(path)) return;
    const text = transformSync(readFileSync(path, "utf8"), { minify: true, treeShaking: true }).code;
    loaded.set(path, text);
    for (const [, next] of text.matchAll(/\b(?:from|import)\s*"(\.[^"]+\.js)"/g))
      load(join(path, "..", next as string));
  };
  load(join(outdir, "main.js"));
  const texts = [...loaded.values()];
  return {
    text: texts.join("\n"),
    zippedBytes: texts.reduce((sum, text) => sum + gzipSync(text, { level: 9 }).length, 0),
  };
}
