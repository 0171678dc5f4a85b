import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterAll, beforeAll } from "vitest";
import { builtOnce } from "../support/build-once.ts";
import { bundleForNode } from "../support/bundle.ts";

const ROOT = resolve(import.meta.dirname, "../..");

/** What a run is watched by, beside what it learns. */
const WATCHED = /^(metrics\.jsonl|run\.json|config\.yaml|report\.(?:html|jsonl)|runs)$/;

/** Names in a run's folder, sorted, but for what the run is watched by. */
export function namesIn(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => !WATCHED.test(name))
    .sort();
}

/** What a finished command left behind. */
export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The command line as a program, and a folder for its files. */
export interface Cli {
  /** A path in the temporary folder. */
  path(name: string): string;
  /** Writes a file of lines into the temporary folder; returns its path. */
  write(name: string, lines: readonly unknown[]): string;
  /** Runs a command to its end. */
  run(words: readonly string[], options?: RunOptions): Promise<Finished>;
}

interface Reaction {
  readonly said: string;
  /** A signal that it sends to itself. */
  readonly signal?: NodeJS.Signals;
  /** A file that it makes. */
  readonly file?: string;
}

/** How a command is run. */
export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
  /** Called with everything that was printed so far, whenever something is. */
  readonly onOutput?: (stdout: string, child: ChildProcess) => void;
  /** What a shell does with the command, which is `"$0" "$@"`. */
  readonly shell?: string;
  /** What the command does in itself as soon as it has printed this: a test that waits for its output may be too late. */
  readonly reaction?: Reaction;
}

/** The programs of the package that live beside each other. */
const PROGRAMS = { cli: resolve(ROOT, "src/cli/main.ts"), bench: resolve(ROOT, "kernels-bench/node.ts") };

/** The command line, bundled as `node build.mjs` does; the files of a test file's runs are removed after its tests. */
export function useCli(): Cli {
  let bundle: string;
  const folder = mkdtempSync(join(tmpdir(), "webgpu-lora-cli-"));

  beforeAll(async () => {
    const programs = await builtOnce("cli", (outdir) => bundleForNode({ entryPoints: PROGRAMS, outdir }));
    bundle = join(programs, "cli.js");
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const path = (name: string) => join(folder, name);
  return {
    path,
    write(name, lines) {
      const text = lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n");
      mkdirSync(dirname(path(name)), { recursive: true });
      writeFileSync(path(name), `${text}\n`);
      return path(name);
    },
    run: (words, options) => runToEnd([bundle, ...words], options),
  };
}

function runToEnd(
  words: readonly string[],
  { env, stdin = "", onOutput, shell, reaction }: RunOptions = {},
): Promise<Finished> {
  const command = [process.execPath, ...words];
  const [program, ...list] = shell === undefined ? command : ["/bin/sh", "-c", shell, ...command];
  const environment = { ...process.env, DEBUG: "", ...env, ...(reaction && reacting(reaction)) };
  const child = spawn(program as string, list, { cwd: ROOT, env: environment });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    onOutput?.(stdout, child);
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  child.stdin.on("error", () => {}).end(stdin); // a command that fails early reads nothing
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
}

/** Has Node run this before the command: what is printed is sent on, and looked through. */
function reacting({ said, signal, file }: Reaction): Record<string, string> {
  const program = `import { writeFileSync } from "node:fs";
    const { stdout } = process, write = stdout.write.bind(stdout);
    const { said, signal, file } = ${JSON.stringify({ said, signal, file })};
    let printed = "";
    stdout.write = (text, ...rest) => {
      const isRoom = write(text, ...rest);
      printed += text;
      if (printed.includes(said)) {
        stdout.write = write;
        if (file) writeFileSync(file, "");
        if (signal) process.kill(process.pid, signal);
      }
      return isRoom;
    };`;
  return { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(program)}` };
}
