import { defineConfig } from "vitest/config";
import { BaseSequencer } from "vitest/node";
import { viteWgsl } from "./wgsl-plugin.mjs";

/** Files that take a minute begin first, so that no worker is left alone with one in the end. */
class LongestFirst extends BaseSequencer {
  async sort(files) {
    const isLong = ({ moduleId }) => /gpu-driver|platform\/|web\/page|hostile\/hostile/.test(moduleId);
    const sorted = await super.sort(files);
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))];
  }
}

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
    sequence: { sequencer: LongestFirst },
  },
});
