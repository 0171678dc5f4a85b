import { defineConfig } from "vitest/config";
import { viteWgsl } from "./wgsl-plugin.mjs";

export default defineConfig({
  plugins: [viteWgsl],
  test: {
    include: ["test/**/*.test.ts"],
    // One software device serves all tests of a worker; two workers fill two cores.
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 120_000,
    hookTimeout: 120_000,
    setupFiles: ["test/setup.ts"],
  },
});
