// An engine that continues texts in a process of its own: one that hangs can be ended, and the others go on.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fail } from "../../src/util/fail.ts";
import type { Decoder } from "./decoder.ts";

/** A program that says its version in a first line, then answers lines: {@link answerLines} and torch/decode.py are such. */
export interface Program extends Pick<Decoder, "name" | "isOther"> {
  readonly command: string;
  readonly args: readonly string[];
}

/**
 * Starts it and waits until it is open.
 * @param limitMs how long it may take to open, and for a token; after that it is ended
 */
export async function processDecoder(program: Program, limitMs: number): Promise<Decoder> {
  const { name, command, args, isOther } = program;
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const broken = once(child, "error").then(([error]) => Promise.reject(error)); // there is no such command
  broken.catch(() => {}); // whoever waits for a line hears of it
  child.stdin.on("error", () => {}); // a child that has ended: the next line is missing, too
  const next = async (what: string) => {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        child.kill("SIGKILL");
        reject(new Error(`no ${what} within ${limitMs / 1000} s`));
      }, limitMs);
    });
    try {
      const { value, done } = await Promise.race([lines.next(), broken, late]);
      if (done) fail(name, `the process has ended without a ${what}`, "what it wrote above says why");
      return value as string;
    } finally {
      clearTimeout(timer);
    }
  };
  const version = await next("version");
  let seconds = 0;
  return {
    ...{ name, version, isOther: isOther ?? false },
    async *write(prompt) {
      child.stdin.write(`${prompt.join(" ")}\n`);
      try {
        for (;;) {
          const [token, spent] = (await next("token")).split(" ").map(Number) as [number, number];
          seconds = spent;
          yield token;
          child.stdin.write("\n");
        }
      } finally {
        child.stdin.write("end\n");
      }
    },
    processorMs: () => 1000 * seconds,
    async release() {
      child.stdin.end();
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    },
  };
}

/**
 * The program's part: a line of ids is a prompt and asks for the token after it, an empty line for the next one, "end" ends the text.
 * An answer is a token's id and the seconds of processor time so far.
 */
export async function answerLines(
  version: string,
  write: (prompt: number[]) => AsyncGenerator<number>,
): Promise<void> {
  console.log(version);
  let text: AsyncGenerator<number> | undefined;
  for await (const line of createInterface({ input: process.stdin })) {
    if (line === "end") {
      await text?.return(undefined);
      continue;
    }
    if (line !== "") text = write(line.split(" ").map(Number));
    const { value } = (await text?.next()) ?? {};
    const { user, system } = process.cpuUsage();
    console.log(`${value} ${(user + system) / 1e6}`);
  }
}
