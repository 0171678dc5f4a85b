import { resolve } from "node:path";
import { type BuildOptions, build, type Plugin } from "esbuild";
import { ROOT } from "./shaders.ts";

/**
 * Bundles programs for Node as `node build.mjs` does. Packages stay outside: the place for the output is a folder below
 * node_modules, from where they are found.
 */
export async function bundleForNode(
  options: Pick<BuildOptions, "entryPoints" | "outdir" | "outfile" | "define">,
): Promise<void> {
  // By a computed address: the plugin is JavaScript without types.
  const { esbuildWgsl } = (await import(resolve(ROOT, "wgsl-plugin.mjs"))) as { esbuildWgsl: Plugin };
  await build({
    bundle: true,
    format: "esm",
    target: "es2022",
    platform: "node",
    packages: "external",
    plugins: [esbuildWgsl],
    loader: { ".py": "text" },
    logLevel: "warning",
    ...options,
  });
}
