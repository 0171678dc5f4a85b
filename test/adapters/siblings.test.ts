// Layers of one input, whose branches are computed together.
import { expect, test, vi } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { type LoraOptions, lora } from "../../src/adapters/lora/lora.ts";
import { modules, type Siblings } from "../../src/nn/module.ts";
import { languageModelling } from "../../src/train/language-modelling.ts";
import { Optimizer } from "../../src/train/optimizer.ts";
import { accumulateGradients } from "../../src/train/pass.ts";
import { createRandom } from "../../src/util/random.ts";
import { fixturePath, openTestModel } from "../support/fixtures.ts";
import { collate } from "../support/layouts.ts";
import { openTestTask } from "../support/task-fixtures.ts";

async function adapted(options: LoraOptions) {
  const model = await openTestModel(fixturePath("llama-gqa"));
  const adapter = attach(model, lora(options));
  for (const { name, tensor } of adapter.parameters.entries) {
    const random = createRandom(3).fork(name);
    tensor.write(Float32Array.from({ length: tensor.size }, () => random.uniform() - 0.5));
  }
  const siblings = [...modules(model.root)].flatMap(({ siblings }) => siblings ?? []);
  const isJoint = (siblings: Siblings) => model.adapters.active.joint.has(siblings);
  return { model, adapter, siblings, isJoint };
}

type Adapted = Awaited<ReturnType<typeof adapted>>;

/** Loss and gradients of one batch, and the products that they took. */
async function pass({ model, adapter }: Pick<Adapted, "model" | "adapter">) {
  const optimizer = new Optimizer(adapter.parameters);
  const inputIds = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3];
  const batch = collate([{ inputIds, labels: inputIds }], {});
  const run = vi.spyOn(model.device, "run");
  const objective = languageModelling(model);
  const sum = accumulateGradients(objective, adapter.parameters, optimizer.gradients, [batch], { seed: 0 });
  const products = run.mock.calls.filter(([{ name }]) => /^(mat|sibling-products)/.test(name)).length;
  run.mockRestore();
  const loss = await sum.read();
  const gradients = await Promise.all(
    adapter.parameters.entries.map(({ tensor }) => optimizer.gradients.get(tensor)!.read()),
  );
  return { loss, gradients, products };
}

/**
 * On GPUs dA comes along with other gradients either way, and y and dx of all take one dispatch. Its sums are in another order than
 * those of products one by one, which steps of f32 show where gradients are steep: with all linears together is up to 3.6e-5 from
 * gradients in f64, one by one 5.4e-5, and they 4.1e-5 from each other (q, v: 0.8e-5, 0.5e-5 and 1.2e-5).
 */
interface OnGpu {
  saved: number;
  error?: number;
}

test.each<LoraOptions & { joint: number; saved: number; onGpu: OnGpu }>([
  // h and dA once for q, k, v and once for gate, up instead of five times: 6 products less in each of two layers. But k and v, half as
  // wide as their input, are computed again in the backward pass: 2 more.
  // On GPUs nothing is: h and y are 6 less in each layer; dx: 3 less in the second, 1 in the first, whose q, k, v need none.
  { targetModules: "all-linear", joint: 4, saved: 8, onGpu: { saved: 16, error: 5e-5 } },
  { targetModules: ["q_proj", "v_proj"], joint: 2, saved: 2, onGpu: { saved: 5, error: 2e-5 } },
  {
    targetModules: ["q_proj", "v_proj"],
    r: 4,
    rankPattern: { v_proj: 8 },
    alpha: 4,
    alphaPattern: { v_proj: 8 },
    joint: 2,
    saved: 2,
    onGpu: { saved: 5 },
  },
  { targetModules: ["k_proj", "up_proj"], joint: 0, saved: 0, onGpu: { saved: 0 } },
])(
  "loss and gradients are those of one by one: $targetModules $rankPattern",
  async ({ joint, saved, onGpu, ...options }) => {
    const run = await adapted(options);
    const wanted: OnGpu = run.model.device.profile.sharesWork ? onGpu : { saved };
    expect(run.siblings.filter(run.isJoint)).toHaveLength(joint);
    const together = await pass(run);
    const single = { ...run.adapter, joint: new Map() };
    const apart = await pass({ ...run, model: run.model.withAdapters([single]) });
    expect(together.loss).toBeClose(apart.loss, 1e-6);
    for (const [i, gradient] of together.gradients.entries()) {
      expect(Math.max(...gradient.map(Math.abs))).toBeGreaterThan(0);
      expect(gradient).toBeClose(apart.gradients[i]!, wanted.error ?? 1e-5);
    }
    expect(apart.products - together.products).toBe(wanted.saved);
  },
);

test.each<LoraOptions>([
  { dropout: 0.1 }, // every branch drops other elements of x
  { alphaPattern: { q_proj: 16 } }, // another scale
  { r: 1, rankPattern: { v_proj: 3 }, alphaPattern: { v_proj: 24 } }, // the second A could not be bound on its own
])("apart where it has to be: %o", async (options) => {
  const { siblings, isJoint } = await adapted({ targetModules: ["q_proj", "v_proj"], ...options });
  expect(siblings.filter(isJoint)).toEqual([]);
});

test("an adapter that is off or gone leaves the siblings alone", async () => {
  const { adapter, siblings, isJoint } = await adapted({ targetModules: "all-linear" });
  adapter.enable(false);
  expect(siblings.some(isJoint)).toBe(false);
  adapter.enable(true);
  expect(siblings.every(isJoint)).toBe(true);
  adapter.release();
  expect(siblings.some(isJoint)).toBe(false);
});

test("the tensors keep their names and order, whatever lies together", async () => {
  const { adapter } = await adapted({ targetModules: ["q_proj", "v_proj"] });
  const names = adapter.parameters.entries.map(({ name }) => name.replace(/^.*self_attn\./, ""));
  const [q, v] = ["q_proj", "v_proj"].map((name) => [`${name}.lora_A`, `${name}.lora_B`]);
  expect(names).toEqual([...q!, ...v!, ...q!, ...v!]);
});

test.each([
  ["tasks/bert-sequence", ["query", "key", "value"]],
  ["tasks/distilbert-sequence", ["q_lin", "k_lin", "v_lin"]],
  ["tasks/opt", ["q_proj", "k_proj", "v_proj"]],
  ["tasks/vit", ["q_proj", "k_proj", "v_proj"]],
])("%s computes %s together", async (fixture, names) => {
  const model = await openTestTask(fixturePath(fixture));
  const all = [...modules(model.root)].flatMap(({ siblings }) => siblings ?? []);
  expect(all.length).toBeGreaterThan(0);
  for (const { members } of all) expect(members.map(({ path }) => path.split(".").at(-1))).toEqual(names);
});
