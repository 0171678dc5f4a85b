// PyTorch and transformers, in a process of their own.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Decoder } from "./decoder.ts";

const SCRIPT = "kernels-bench/torch/decode.py";

/**
 * SmolLM2's shape on the CPU, or on a CUDA device where there is one, with random weights of its own.
 * @param python an interpreter with torch and transformers
 */
export async function torchDecoder(python: string, dtype: "f32" | "bf16"): Promise<Decoder> {
  const child = spawn(python, [SCRIPT, dtype], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`${python} ${SCRIPT} has ended; it needs torch and transformers`);
    return value as string;
  };
  const ended = once(child, "exit");
  const version = await Promise.race([next(), once(child, "error").then(([error]) => Promise.reject(error))]);
  let seconds = 0;
  return {
    name: `PyTorch ${dtype}`,
    version,
    isOther: true,
    async *write(prompt) {
      child.stdin.write(`${prompt.join(" ")}\n`);
      try {
        for (;;) {
          const [token, spent] = (await next()).split(" ").map(Number) as [number, number];
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
      await ended;
    },
  };
}
