#!/usr/bin/env node
import { isatty } from "node:tty";
import { Command, CommanderError } from "commander";
import { METHODS } from "../adapters/methods.ts";
import { readTextFile } from "../platform/node-text.ts";
import { type FailureKind, LoraError } from "../util/fail.ts";
import { runBench } from "./commands/bench.ts";
import { checkCacheRmSettings, runCacheList, runCacheRm } from "./commands/cache.ts";
import { runChat } from "./commands/chat.ts";
import { checkCombineSettings, runCombine } from "./commands/combine.ts";
import { checkConvertSettings, runConvert } from "./commands/convert.ts";
import { runEnv } from "./commands/env.ts";
import { runEval } from "./commands/eval.ts";
import { checkGenerateSettings, runGenerate } from "./commands/generate.ts";
import { runInspect } from "./commands/inspect.ts";
import { runInspectAdapter } from "./commands/inspect-adapter.ts";
import { checkMergeSettings, runMerge } from "./commands/merge.ts";
import { runPlan } from "./commands/plan.ts";
import { runRuns } from "./commands/runs.ts";
import { checkSweep, runSweep } from "./commands/sweep.ts";
import { runTrain } from "./commands/train.ts";
import { runWeb } from "./commands/web.ts";
import { MAX_CONFIG_BYTES, parseConfig } from "./config.ts";
import { addFlags, dashedFlags, givenFlags } from "./flags.ts";
import { methodTable, type Narrowed, type Sources, tableWith, withMethod } from "./method-table.ts";
import type { OptionTable } from "./options.ts";
import { type GivenValue, type Settled, settle } from "./settings.ts";
import { BENCH_OPTIONS } from "./tables/bench.ts";
import { CACHE_LIST_OPTIONS, CACHE_RM_OPTIONS } from "./tables/cache.ts";
import { CHAT_OPTIONS } from "./tables/chat.ts";
import { COMBINE_OPTIONS } from "./tables/combine.ts";
import { CONVERT_OPTIONS } from "./tables/convert.ts";
import { ENV_OPTIONS } from "./tables/env.ts";
import { EVAL_OPTIONS } from "./tables/eval.ts";
import { GENERATE_OPTIONS } from "./tables/generate.ts";
import { INSPECT_OPTIONS } from "./tables/inspect.ts";
import { INSPECT_ADAPTER_OPTIONS } from "./tables/inspect-adapter.ts";
import { MERGE_OPTIONS } from "./tables/merge.ts";
import { PLAN_OPTIONS } from "./tables/plan.ts";
import { RUNS_OPTIONS } from "./tables/runs.ts";
import { SWEEP_OPTIONS } from "./tables/sweep.ts";
import { TRAIN_OPTIONS } from "./tables/train.ts";
import { WEB_OPTIONS } from "./tables/web.ts";
import { checkTaskSettings } from "./task-settings.ts";
import { printLines, processTerminal, type Terminal } from "./terminal.ts";
import { checkTrainSettings } from "./train-settings.ts";
import { packageVersion } from "./version.ts";

const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;
/** As a process ends that SIGPIPE ends, which Node ignores: 128 + 13. */
const EXIT_PIPE = 141;
const EXIT_CODES: Readonly<Partial<Record<FailureKind, number>>> = {
  "no-adapter": 3,
  "device-lost": 4,
  "out-of-memory": 5,
  network: 6,
};

const EXIT_HELP = `
Exit codes: 0 done, 1 failed, 2 wrong options, 3 no device, 4 device lost, 5 out of memory, 6 network,
129, 130, 131, 143 ended by SIGHUP, Ctrl-C, SIGQUIT, SIGTERM, 141 whoever read the output has gone.
Whatever ends train after its first step, it saves the adapter; where the device is lost, as it was seconds ago.
One that has diverged is not saved: it would take the place of a good one.
A closed or full standard output does not end train. Ctrl-C twice ends at once, without saving.`;

const EXIT_HANGUP = 128 + 1;

/** Where its terminal is gone, Node crashes while it ends in order: it ends as the signal ends a process, locks dropped. */
function endByHangup(): void {
  process.emit("exit", EXIT_HANGUP);
  process.kill(process.pid, "SIGHUP");
}

/** Commands that leave files behind: what they print is beside that. */
const FILE_COMMANDS = ["train", "sweep", "merge", "combine", "convert"];

const hasTerminal = [0, 1, 2].some(isatty);
const terminal = processTerminal();
const exitCode = await run(process.argv.slice(2), terminal);
await terminal.flush();
if (exitCode === EXIT_HANGUP && hasTerminal) endByHangup();
process.exit(exitCode || lossCode(process.argv[2], terminal)); // whatever is still open, such as the terminal or a request

async function run(words: readonly string[], terminal: Terminal): Promise<number> {
  let exitCode = 0;
  const program = createProgram(terminal, (code) => {
    exitCode = code;
  });
  try {
    await program.parseAsync(dashedFlags(words), { from: "user" });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE; // commander has printed it
    printLines(terminal.note, `error: ${describeError(error)}`);
    return (error instanceof LoraError && EXIT_CODES[error.kind]) || EXIT_FAILURE;
  }
}

/** The exit code of a command whose output was lost, where that is what it is for. */
function lossCode(command: string | undefined, { closed, loss }: Terminal): number {
  if (FILE_COMMANDS.includes(command ?? "")) return 0;
  if (closed) return EXIT_PIPE;
  return loss === undefined ? 0 : EXIT_FAILURE;
}

function createProgram(terminal: Terminal, end: (exitCode: number) => void): Command {
  const program = new Command("webgpu-lora")
    .description("LoRA fine-tuning of language models on any GPU, with PEFT's files in and out")
    .version(packageVersion(), "-V, --version")
    .exitOverride()
    .addHelpText("afterAll", EXIT_HELP)
    .showHelpAfterError("(--help lists all options)");

  const add = <T extends OptionTable>(
    name: string,
    description: string,
    subcommand: Subcommand<T>,
    parent = program,
  ): Command => {
    const command = parent.command(name).description(description);
    addFlags(command, [subcommand.table, ...(subcommand.others ?? [])], () => {
      return subcommand.describe?.(command.opts()) ?? subcommand.table;
    });
    if (subcommand.words !== undefined) command.argument(`[${subcommand.words}...]`);
    return command.action(async () => {
      end(await subcommand.run(await readSettings(command, subcommand), terminal));
    });
  };

  add("train", "train an adapter on rows of text, of prompt and completion, or of chats", {
    table: TRAIN_OPTIONS,
    others: METHODS.map(methodTable),
    describe: ({ method }) => tableWith(TRAIN_OPTIONS, method),
    narrow: withMethod,
    check: checkTrainSettings,
    run: runTrain,
  }).option("-c, --config <file>", "YAML file of these options in snake_case; the command line wins");
  add("plan", "say what memory training would take, whether it fits, and what would; loads no weights", {
    table: PLAN_OPTIONS,
    others: METHODS.map(methodTable),
    describe: ({ method }) => tableWith(PLAN_OPTIONS, method),
    narrow: withMethod,
    check: checkTrainSettings,
    run: runPlan,
  }).option("-c, --config <file>", "YAML file of train's options; the command line wins");
  add("sweep", "train with each of several settings, each in a folder of its own, and compare them", {
    table: SWEEP_OPTIONS,
    words: "words",
    check: checkSweep,
    run: runSweep,
  });
  add("generate", "continue a prompt, or answer a chat", {
    table: GENERATE_OPTIONS,
    check: checkGenerateSettings,
    run: runGenerate,
  });
  add(
    "chat",
    "answer questions at the terminal, by the model and its adapters side by side; /help there lists more",
    {
      table: CHAT_OPTIONS,
      run: runChat,
    },
  );
  add("eval", "measure loss and perplexity on rows of text", {
    table: EVAL_OPTIONS,
    check: checkTaskSettings,
    run: runEval,
  });
  add("inspect", "show rows as the model reads them, and what is wrong with them; needs no GPU", {
    table: INSPECT_OPTIONS,
    check: checkTaskSettings,
    run: runInspect,
  });
  add("merge", "write the model with an adapter merged into its weights", {
    table: MERGE_OPTIONS,
    check: checkMergeSettings,
    run: runMerge,
  });
  add(
    "inspect-adapter",
    "show what an adapter is, where it comes from and how much it changes; needs no GPU",
    {
      table: INSPECT_ADAPTER_OPTIONS,
      words: "adapter_path",
      run: runInspectAdapter,
    },
  );
  add("convert", "write an adapter in another format: PEFT's, mlx-lm's or GGUF; needs no GPU", {
    table: CONVERT_OPTIONS,
    words: "source",
    check: checkConvertSettings,
    run: runConvert,
  });
  add("combine", "make one adapter of several, or one of a lower rank; needs no GPU and no model", {
    table: COMBINE_OPTIONS,
    words: "adapters",
    check: checkCombineSettings,
    run: runCombine,
  });
  add("runs", "list training runs, and compare their figures and settings; needs no GPU", {
    table: RUNS_OPTIONS,
    words: "folders",
    run: runRuns,
  });
  add("bench", "validate and time every kernel on this device", {
    table: BENCH_OPTIONS,
    words: "kernels",
    run: runBench,
  });
  add("web", "serve a page on this machine that fine-tunes in a browser; nothing leaves it", {
    table: WEB_OPTIONS,
    run: runWeb,
  });
  const cache = program.command("cache").description("show and remove what was downloaded");
  add("list", "list downloads", { table: CACHE_LIST_OPTIONS, run: runCacheList }, cache);
  add(
    "rm",
    "remove downloads",
    { table: CACHE_RM_OPTIONS, words: "names", check: checkCacheRmSettings, run: runCacheRm },
    cache,
  );
  add("env", "print versions, device and settings, for bug reports", { table: ENV_OPTIONS, run: runEnv });
  return program;
}

interface Subcommand<T extends OptionTable> {
  readonly table: T;
  /** Options that only go with some values of others. */
  readonly others?: readonly OptionTable[];
  /** What the help lists, by the flags that stand beside `--help`. */
  readonly describe?: (flags: Readonly<Record<string, unknown>>) => OptionTable;
  /** The options that hold for what was given. @throws LoraError for what does not go with the rest */
  readonly narrow?: (table: T, sources: Sources) => Narrowed<T>;
  /** The option whose values may also stand as plain words. */
  readonly words?: keyof T & string;
  /** Throws where settings contradict each other. */
  readonly check?: (settled: Settled<T>) => void | Promise<void>;
  /** Returns the exit code. */
  readonly run: (settled: Settled<T>, terminal: Terminal) => Promise<number>;
}

/** Settings from the configuration and the flags; what is wrong with them is a mistake in usage. */
async function readSettings<T extends OptionTable>(
  command: Command,
  { table, others = [], narrow, check, words }: Subcommand<T>,
): Promise<Settled<T>> {
  try {
    const all: OptionTable = Object.assign({}, ...others, table);
    const given = [
      await readConfig(command.opts().config, all),
      plainWords(command, table, words),
      givenFlags(command, all),
    ];
    const chosen = narrow?.(table, given) ?? { table, sources: given };
    const settled = settle(command.name(), chosen.table, chosen.sources);
    await check?.(settled);
    return settled;
  } catch (error) {
    if (!(error instanceof LoraError)) throw error;
    return command.error(`error: ${error.message}`, { exitCode: EXIT_USAGE });
  }
}

function plainWords({ args }: Command, table: OptionTable, key: string | undefined): GivenValue[] {
  if (key === undefined || args.length === 0) return [];
  const value = args.length === 1 && !table[key]?.several ? args[0] : args;
  return [{ key, name: key, value }];
}

async function readConfig(path: string | undefined, table: OptionTable): Promise<GivenValue[]> {
  return path === undefined ? [] : parseConfig(await readTextFile(path, MAX_CONFIG_BYTES), path, table);
}

/** A LoraError says what to do; any other error is a bug or the system's, and its stack may help. */
function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const wantsStack = /(^|[\s,])(webgpu-lora|\*)($|[\s,:])/.test(process.env.DEBUG ?? "");
  if (wantsStack) return error.stack ?? error.message;
  return error instanceof LoraError ? error.message : `${error.message}\n  → DEBUG=webgpu-lora shows where`;
}
