import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { MODELS, SMALL, TOY } from "../../kernels-bench/models.ts";
import { stepFlops } from "../../kernels-bench/training-step.bench.ts";
import { ROOT } from "../support/shaders.ts";

const model = (name: string) => MODELS.find((size) => size.name === name)!;

test("operations of a LoRA step: 4 a frozen weight and token, 6 an adapter's, 7 T² a query column", () => {
  const size = model("Qwen2.5-0.5B");
  const [tokens, r, hidden, queries, keys, inner] = [4096, 8, 896, 896, 128, 4864];
  const perLayer = 2 * hidden * queries + 2 * hidden * keys + 3 * hidden * inner;
  const adapters = r * (7 * hidden + 2 * queries + 2 * keys + 3 * inner);
  const firstInput = 2 * (hidden * (queries + 2 * keys) + 3 * r * hidden);
  const wanted =
    tokens * (24 * (4 * perLayer + 6 * adapters) - firstInput) +
    4 * size.vocab * hidden * (tokens - 1) +
    24 * 7 * tokens ** 2 * queries;
  expect(stepFlops(size, tokens)).toBe(wanted);
  expect(wanted / 1e12).toBeCloseTo(10.7, 1); // 8.1 for the weights, the rest for attention
});

test("PyTorch runs the same sizes", () => {
  const script = readFileSync(join(ROOT, "kernels-bench/torch/step.py"), "utf8");
  const sizes = [TOY, SMALL, ...MODELS].map(
    ({ name, hidden, intermediate, heads, kvHeads, headDim, vocab, layers }) =>
      `"${name}": dict(hidden=${hidden}, intermediate=${intermediate}, heads=${heads}, kv_heads=${kvHeads}, ` +
      `head_dim=${headDim}, vocab=${vocab}, layers=${layers})`,
  );
  for (const size of sizes) expect(script).toContain(size);
});
