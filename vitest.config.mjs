import { defineConfig } from "vitest/config";
import { BaseSequencer } from "vitest/node";
import { viteWgsl } from "./wgsl-plugin.mjs";

/** What takes half a minute or more in one of .ci/run's runs, where no driver has compiled anything yet; longest first. */
const LONGEST = [
  ...["gpu-driver", "web/page", "kernels/matmul.test", "attention-subgroup-matrix", "nano-gpt-sort"],
  ...["cli/endings", "matmul-columns", "platform/package", "platform/browser", "hostile/hostile"],
  ...["cli/tasks", "decoder-fixtures", "mixed-precision", "same-as-cli", "output-folder", "plan/peak"],
  ...["cli/resume", "models/layouts", "streaming", "load/tune", "cli/bench", "platform/", "task-fixtures"],
];

/**
 * Long files begin first, so that no worker is left alone with one in the end. Vitest's own order, where it knows no
 * times, begins with the files of most bytes: a short one may take long.
 */
class LongestFirst extends BaseSequencer {
  async sort(files) {
    const rank = ({ moduleId }) => {
      const at = LONGEST.findIndex((name) => moduleId.includes(name));
      return at < 0 ? LONGEST.length : at;
    };
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}

export default defineConfig({
  plugins: [viteWgsl],
  test: {
    include: ["test/**/*.test.ts"],
    // One software device serves all tests of a worker; two workers fill two cores.
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 300_000,
    hookTimeout: 300_000,
    globalSetup: ["test/global-setup.ts"],
    setupFiles: ["test/setup.ts"],
    sequence: { sequencer: LongestFirst },
  },
});
