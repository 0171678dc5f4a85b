// Reads a file that means harm, in a process of its own: READER PATH. Prints what became of it as JSON, the time, and how
// far memory rose above what the program itself takes.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { basename, dirname } from "node:path";
import { matchesTarget } from "../../src/adapters/sites/targets.ts";
import { parseConfig } from "../../src/cli/config.ts";
import { readTable } from "../../src/cli/data-files.ts";
import { tableWith } from "../../src/cli/method-table.ts";
import { TRAIN_OPTIONS as PLAIN } from "../../src/cli/tables/train.ts";
import { EXAMPLE_READER } from "../../src/data/rows/examples.ts";
import { readJson } from "../../src/io/files/files.ts";
import { urlFiles } from "../../src/io/files/hub.ts";
import { openCheckpoint } from "../../src/io/formats/checkpoint.ts";
import { readHeader } from "../../src/io/formats/safetensors.ts";
import { openTokenizer } from "../../src/io/tokenizer/tokenizer-files.ts";
import { planModel } from "../../src/models/families.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { nodeHash } from "../../src/platform/node-hash.ts";
import { patternMatcher } from "../../src/util/module-patterns.ts";

const TRAIN_OPTIONS = tableWith(PLAIN, "lora");

const PATHS = Array.from({ length: 300 }, (_, i) => `model.layers.${i}.self_attn.q_proj`);

const READERS: Readonly<Record<string, (path: string) => unknown>> = {
  checkpoint: (path) => openCheckpoint(folderFiles(path)),
  expression: async (path) => {
    const expression = await readFile(path, "utf8");
    return PATHS.some((module) => matchesTarget(module, expression));
  },
  gzip: async (path) => {
    const body = await readFile(path);
    const server = createServer((_, response) => {
      response.writeHead(200, { "content-encoding": "gzip" }).end(body);
    }).listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const files = urlFiles({ url: base, hash: nodeHash });
    return readJson(files, "config.json").finally(() => server.closeAllConnections());
  },
  header: (path) => readHeader(folderFiles(dirname(path)), basename(path)),
  json: (path) => readJson(folderFiles(dirname(path)), basename(path)),
  plan: async (path) => planModel(JSON.parse(await readFile(path, "utf8")) as Record<string, unknown>),
  ranks: async (path) => {
    const expression = await readFile(path, "utf8");
    const keys = Array.from({ length: 20_000 }, (_, i) => [expression + i, 8] as const);
    const ranks = patternMatcher(Object.fromEntries(keys));
    return PATHS.flatMap(ranks).length;
  },
  rows: (path) => readTable(path, EXAMPLE_READER),
  tokenizer: async (path) => {
    const tokenizer = await openTokenizer(folderFiles(path), { config: {} });
    return tokenizer?.encode("ab ".repeat(100)).length;
  },
  yaml: async (path) => parseConfig(await readFile(path, "utf8"), path, TRAIN_OPTIONS),
};

const [, , reader = "", path = ""] = process.argv;
const highest = () => process.resourceUsage().maxRSS / 1024;
const [began, before] = [process.cpuUsage(), highest()];
const message = await Promise.resolve()
  .then(() => READERS[reader]?.(path))
  .then(
    (value) => `took it: ${String(value)}`,
    (error: Error) => `${error.name}: ${error.message}`,
  );
const { user, system } = process.cpuUsage(began);
const [seconds, megabytes] = [(user + system) / 1e6, highest() - before];
process.stdout.write(JSON.stringify({ message, seconds, megabytes }));
process.exit(0);
