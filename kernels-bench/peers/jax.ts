// @jax-js/jax on its WebGPU device.
import type { Engine, Prepared } from "./engine.ts";
import { importPeer } from "./engine.ts";
import { jaxTraining } from "./jax-model.ts";
import { adam, type Compute, type Jax, type JaxArray, losses, rmsNorm, rotate, toJax } from "./jax-ops.ts";
import { ADAM, input, labelsOf, oneHot, ropeTables, type Work } from "./work.ts";

/** Opens the library on the WebGPU device of `navigator.gpu`. */
export async function jaxEngine(version: string): Promise<Engine> {
  await importPeer("core-js/actual/iterator/index.js"); // helpers that Node has from 22 on
  await importPeer("core-js/actual/set/index.js");
  const jax = await importPeer<Jax>("@jax-js/jax");
  await jax.init("webgpu");
  jax.defaultDevice("webgpu");
  return {
    name: "@jax-js/jax",
    version,
    prepare: async (work) =>
      work.kind === "training" ? jaxTraining(jax, work.weights) : prepareKernel(jax, work),
  };
}

function prepareKernel(jax: Jax, work: Exclude<Work, { kind: "training" }>): Prepared {
  const { compute, inputs } = kernelOf(jax, work);
  const compiled = jax.jit(compute);
  const call = () => [compiled(...inputs.map((x) => x.ref))].flat();
  return {
    outputs: () => Promise.all(call().map((output) => output.data())),
    start() {
      const results = call();
      return async () => {
        await jax.blockUntilReady(results);
        for (const result of results) result.dispose();
      };
    },
    release() {
      for (const x of inputs) x.dispose();
    },
  };
}

interface JaxKernel {
  compute: Compute;
  inputs: JaxArray[];
}

function kernelOf(jax: Jax, work: Exclude<Work, { kind: "training" }>): JaxKernel {
  const upload = (shape: readonly number[], seeds: number[]) =>
    seeds.map((seed) => toJax(jax, input(shape, seed)));
  switch (work.kind) {
    case "matmul":
      return { compute: (a, b) => jax.numpy.matmul(a!, b!), inputs: upload([work.n, work.n], [1, 2]) };
    case "attention": {
      const inputs = upload([1, work.tokens, work.heads, work.headDim], [1, 2, 3, 4]);
      const f: Forward = (q, k, v) => jax.nn.dotProductAttention(q!, k!, v!, { isCausal: true });
      return directed(jax, f, 3, inputs, work.direction);
    }
    case "rms-norm": {
      const [x, dy] = upload([work.rows, work.cols], [1, 3]);
      const [w] = upload([work.cols], [2]);
      return directed(jax, (x, w) => rmsNorm(jax, x!, w!), 2, [x!, w!, dy!], work.direction);
    }
    case "swiglu": {
      const f: Forward = (gate, up) => jax.nn.silu(gate!).mul(up!);
      return directed(jax, f, 2, upload([work.rows, work.cols], [1, 2, 3]), work.direction);
    }
    case "rope": {
      const { cos, sin } = ropeTables(work.tokens, work.headDim);
      const [x, dy] = upload([work.tokens, work.heads, work.headDim], [1, 2]);
      const tables = [cos, sin].map((table) => toJax(jax, table));
      const f: Forward = (x, cos, sin) => rotate(jax, x!, cos!, sin!);
      return directed(jax, f, 1, [x!, ...tables, dy!], work.direction);
    }
    case "cross-entropy": {
      const [logits] = upload([work.rows, work.vocab], [1]);
      const labels = toJax(jax, oneHot(labelsOf(work.rows, work.vocab), work.vocab));
      if (work.direction === "forward")
        return { compute: (x, y) => losses(jax, x!, y!), inputs: [logits!, labels] };
      const mean = (x?: JaxArray, y?: JaxArray) => losses(jax, x!, y!).mean();
      return { compute: jax.grad(mean, { argnums: [0] }), inputs: [logits!, labels] };
    }
    case "adamw": {
      const [p, g] = upload([work.count], [1, 2]);
      const zero = { shape: [work.count], values: new Float32Array(work.count) };
      const [m, v] = [toJax(jax, zero), toJax(jax, zero)];
      const compute: Compute = (p, g, m, v) =>
        adam(jax, [p!, g!, m!, v!], { corrected1: 1 - ADAM.beta1, corrected2: 1 - ADAM.beta2 });
      return { compute, inputs: [p!, g!, m!, v!] };
    }
  }
}

type Forward = (...args: JaxArray[]) => JaxArray;

/** The forward pass, or the gradients of its first `count` arguments for the gradient that is the last one. */
function directed(jax: Jax, f: Forward, count: number, inputs: JaxArray[], direction: string): JaxKernel {
  const [args, dy] = [inputs.slice(0, -1), inputs.at(-1) as JaxArray];
  if (direction === "forward") return { compute: f, inputs: args };
  const product = (...all: JaxArray[]) =>
    f(...all.slice(0, -1))
      .mul(all.at(-1) as JaxArray)
      .sum();
  const argnums = Array.from({ length: count }, (_, i) => i);
  return { compute: jax.grad(product, { argnums }), inputs: [...args, dy] };
}
