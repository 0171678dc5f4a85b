// The training step of work.ts in @jax-js/jax: one compiled function from weights and moments to new ones.
import type { Prepared } from "./engine.ts";
import { adam, type Jax, type JaxArray, losses, rmsNorm, rotate, toJax } from "./jax-ops.ts";
import { ADAM, COMPARED_STEPS, type HostTensor, MODEL, oneHot, ropeTables, tokenIds } from "./work.ts";

/** What does not change from step to step. */
interface Constants {
  ids: JaxArray;
  labels: JaxArray;
  cos: JaxArray;
  sin: JaxArray;
}

/** The model with its optimiser on the device. */
export function jaxTraining(jax: Jax, weights: ReadonlyMap<string, HostTensor>): Prepared {
  const names = [...weights.keys()];
  const count = names.length;
  let parameters = [...weights.values()].map((tensor) => toJax(jax, tensor));
  let moments = [...weights.values(), ...weights.values()].map(({ shape, values }) =>
    toJax(jax, { shape, values: new Float32Array(values.length) }),
  );
  const constants = constantsOf(jax);
  const step = jax.jit((...args: JaxArray[]) => trainStep(jax, names, args));
  let steps = 0;
  const advance = () => {
    steps++;
    const corrections = [ADAM.beta1, ADAM.beta2].map((beta) =>
      toJax(jax, { shape: [], values: Float32Array.of(1 - beta ** steps) }),
    );
    const kept = Object.values(constants).map((x: JaxArray) => x.ref);
    const [loss, ...updated] = step(...parameters, ...moments, ...corrections, ...kept) as JaxArray[];
    parameters = updated.slice(0, count);
    moments = updated.slice(count);
    return loss as JaxArray;
  };
  return {
    async outputs() {
      const found: number[] = [];
      for (let i = 0; i < COMPARED_STEPS; i++) found.push((await advance().data())[0] as number);
      return [found];
    },
    start() {
      const loss = advance();
      return async () => {
        await jax.blockUntilReady([loss, ...parameters, ...moments]);
        loss.dispose();
      };
    },
    release() {
      for (const x of [...parameters, ...moments, ...Object.values(constants)]) (x as JaxArray).dispose();
    },
  };
}

function constantsOf(jax: Jax): Constants {
  const ids = tokenIds();
  const labels = oneHot(ids.slice(1), MODEL.vocab);
  const { cos, sin } = ropeTables(MODEL.tokens, MODEL.headDim);
  return {
    ids: toJax(jax, oneHot(ids, MODEL.vocab)),
    labels: toJax(jax, { shape: [ids.length, MODEL.vocab], values: padded(labels, ids.length) }),
    cos: toJax(jax, cos),
    sin: toJax(jax, sin),
  };
}

/** The last position has no label: a row of zeros. */
function padded({ values }: HostTensor, rows: number): Float32Array<ArrayBuffer> {
  const all = new Float32Array(rows * MODEL.vocab);
  all.set(values);
  return all;
}

/** args: parameters, first and second moments, two bias corrections, constants. */
function trainStep(jax: Jax, names: readonly string[], args: JaxArray[]): JaxArray[] {
  const count = names.length;
  const parameters = args.slice(0, count);
  const [m, v] = [args.slice(count, 2 * count), args.slice(2 * count, 3 * count)];
  const [corrected1, corrected2, ids, labels, cos, sin] = args.slice(3 * count) as [
    JaxArray,
    JaxArray,
    JaxArray,
    JaxArray,
    JaxArray,
    JaxArray,
  ];
  const loss = (...weights: JaxArray[]) => {
    const byName = new Map(names.map((name, i) => [name, weights[i] as JaxArray]));
    return meanLoss(jax, byName, { ids, labels, cos, sin });
  };
  const argnums = Array.from({ length: count }, (_, i) => i);
  const [value, gradients] = jax.valueAndGrad(loss, { argnums })(...parameters.map((p) => p.ref));
  const updated = parameters.map((p, i) =>
    adam(jax, [p, gradients[i] as JaxArray, m[i] as JaxArray, v[i] as JaxArray], {
      corrected1: corrected1.ref,
      corrected2: corrected2.ref,
    }),
  );
  return [value, ...[0, 1, 2].flatMap((part) => updated.map((triple) => triple[part] as JaxArray))];
}

function meanLoss(
  jax: Jax,
  weights: ReadonlyMap<string, JaxArray>,
  { ids, labels, cos, sin }: Constants,
): JaxArray {
  const { matmul } = jax.numpy;
  const get = (name: string) => (weights.get(`model.${name}.weight`) as JaxArray).ref;
  const linear = (x: JaxArray, name: string) => matmul(x, get(name).transpose([1, 0]));
  let x = matmul(ids.ref, get("embed_tokens"));
  for (let layer = 0; layer < MODEL.layers; layer++) {
    const path = `layers.${layer}`;
    const normed = rmsNorm(jax, x.ref, get(`${path}.input_layernorm`));
    const heads = (name: string) =>
      linear(normed.ref, `${path}.self_attn.${name}`).reshape([MODEL.tokens, MODEL.heads, MODEL.headDim]);
    const q = rotate(jax, heads("q_proj"), cos.ref, sin.ref);
    const k = rotate(jax, heads("k_proj"), cos.ref, sin.ref);
    const o = jax.nn.dotProductAttention(q, k, heads("v_proj"), { isCausal: true });
    x = x.add(linear(o.reshape([MODEL.tokens, MODEL.hidden]), `${path}.self_attn.o_proj`));
    const h = rmsNorm(jax, x.ref, get(`${path}.post_attention_layernorm`));
    const gate = jax.nn.silu(linear(h.ref, `${path}.mlp.gate_proj`));
    x = x.add(linear(gate.mul(linear(h, `${path}.mlp.up_proj`)), `${path}.mlp.down_proj`));
  }
  const logits = linear(rmsNorm(jax, x, get("norm")), "embed_tokens");
  const last = MODEL.tokens - 1;
  // The last position predicts nothing: without a label its loss is its logsumexp, which a mask takes away.
  const mask = labels.ref.sum(-1);
  return losses(jax, logits, labels.ref).mul(mask).sum().div(last);
}
