import { readTable } from "../src/cli/data-files.ts";
import { EXAMPLE_READER } from "../src/data/examples.ts";

const s = performance.now();
const rows = readTable(process.argv[2] as string, EXAMPLE_READER);
console.log(
  rows.length,
  "rows",
  ((performance.now() - s) / 1e3).toFixed(1),
  "s, rss MB",
  Math.round(process.memoryUsage().rss / 1e6),
  "heap",
  Math.round(process.memoryUsage().heapUsed / 1e6),
);
