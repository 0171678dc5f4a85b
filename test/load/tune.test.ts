import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test, vi } from "vitest";
import { matmulClass } from "../../src/kernels/matmul.ts";
import { createModel } from "../../src/load/create.ts";
import { tune } from "../../src/load/tune.ts";
import { openNodeDevice } from "../../src/platform/node-gpu.ts";
import { testDevice } from "../support/device.ts";

// The choices are saved: in a folder of this test's own, where no other process takes them for its own.
const cache = mkdtempSync(join(tmpdir(), "webgpu-lora-tune-"));
vi.stubEnv("WEBGPU_LORA_CACHE", cache);
afterAll(() => rmSync(cache, { recursive: true, force: true }));

// Compiles each variant for each layout, which takes 16 s of a CPU that has none of them yet.
test("a model's products are measured once a class, and later passes take the choices", {
  timeout: 300_000,
}, async () => {
  const device = await testDevice();
  const { model } = createModel(device, {
    architectures: ["LlamaForCausalLM"],
    vocab_size: 16,
    hidden_size: 16,
    intermediate_size: 16,
    num_hidden_layers: 2,
    num_attention_heads: 1,
    num_key_value_heads: 1,
    max_position_embeddings: 16,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
  });
  const { products, attention } = await tune(model, { tokens: 16 });
  expect(attention).toBeUndefined(); // there are no matrix units
  expect(products.map(({ layout }) => layout)).toEqual(["NT", "NN", "TN"]); // all matrices have one shape
  for (const product of products) expect(device.choices.get(matmulClass(product))).toBe(product.variant);
  const [file = ""] = readdirSync(join(cache, "choices"));
  const saved: unknown = JSON.parse(readFileSync(join(cache, "choices", file), "utf8"));
  expect(saved).toMatchObject({ choices: Object.fromEntries(device.choices.all) });
  model.release();

  const path = join(cache, "choices", file);
  writeFileSync(path, JSON.stringify({ ...(saved as object), device: "the driver before" }));
  const warnings: string[] = [];
  const next = await openNodeDevice({ onWarning: (warning) => warnings.push(warning) });
  expect(warnings).toEqual([expect.stringMatching(/of "the driver before" are not used/)]);
  expect(next.choices.size).toBe(0);
  next.close();
});
