// The training step of work.ts in tfjs, with its own Adam.
import type { Prepared } from "./engine.ts";
import {
  attend,
  finishTf,
  silu,
  type Tf,
  type TfTensor,
  type TfVariable,
  tfLosses,
  tfRmsNorm,
  tfRotate,
  toTf,
} from "./tfjs-ops.ts";
import {
  ADAM,
  COMPARED_STEPS,
  causalMask,
  type HostTensor,
  MODEL,
  oneHot,
  ropeTables,
  tokenIds,
} from "./work.ts";

/** The model with its optimiser on the device. */
export function tfTraining(tf: Tf, weights: ReadonlyMap<string, HostTensor>): Prepared {
  const variables = new Map([...weights].map(([name, tensor]) => [name, tf.variable(toTf(tf, tensor))]));
  const constants = constantsOf(tf);
  const optimizer = tf.train.adam(ADAM.learningRate, ADAM.beta1, ADAM.beta2, ADAM.eps);
  const step = () =>
    optimizer.minimize(() => meanLoss(tf, variables, constants), true, [...variables.values()]);
  return {
    async outputs() {
      const found: number[] = [];
      for (let i = 0; i < COMPARED_STEPS; i++) {
        const loss = step();
        found.push((await loss.data())[0] as number);
        loss.dispose();
      }
      return [found];
    },
    start() {
      step().dispose();
      return () => finishTf(tf);
    },
    release() {
      optimizer.dispose();
      tf.dispose([...variables.values(), ...Object.values(constants)]);
    },
  };
}

interface Constants {
  ids: TfTensor;
  labels: TfTensor;
  cos: TfTensor;
  sin: TfTensor;
  mask: TfTensor;
}

function constantsOf(tf: Tf): Constants {
  const ids = tokenIds();
  const { cos, sin } = ropeTables(MODEL.tokens, MODEL.headDim);
  return {
    ids: toTf(tf, oneHot(ids, MODEL.vocab)),
    labels: toTf(tf, oneHot(ids.slice(1), MODEL.vocab)),
    cos: toTf(tf, cos),
    sin: toTf(tf, sin),
    mask: toTf(tf, causalMask(MODEL.tokens)),
  };
}

function meanLoss(
  tf: Tf,
  variables: ReadonlyMap<string, TfVariable>,
  { ids, labels, cos, sin, mask }: Constants,
): TfTensor {
  const get = (name: string) => variables.get(`model.${name}.weight`) as TfVariable;
  const linear = (x: TfTensor, name: string) => tf.matMul(x, get(name), false, true);
  let x = tf.matMul(ids, get("embed_tokens"));
  for (let layer = 0; layer < MODEL.layers; layer++) {
    const path = `layers.${layer}`;
    const normed = tfRmsNorm(tf, x, get(`${path}.input_layernorm`));
    const heads = (name: string) =>
      tf.reshape(linear(normed, `${path}.self_attn.${name}`), [MODEL.tokens, MODEL.heads, MODEL.headDim]);
    const [q, k] = [tfRotate(tf, heads("q_proj"), cos, sin), tfRotate(tf, heads("k_proj"), cos, sin)];
    const o = tf.reshape(attend(tf, [q, k, heads("v_proj")], mask), [MODEL.tokens, MODEL.hidden]);
    x = tf.add(x, linear(o, `${path}.self_attn.o_proj`));
    const h = tfRmsNorm(tf, x, get(`${path}.post_attention_layernorm`));
    const gated = tf.mul(silu(tf, linear(h, `${path}.mlp.gate_proj`)), linear(h, `${path}.mlp.up_proj`));
    x = tf.add(x, linear(gated, `${path}.mlp.down_proj`));
  }
  const logits = linear(tfRmsNorm(tf, x, get("norm")), "embed_tokens");
  const [predicted] = tf.split(logits, [MODEL.tokens - 1, 1], 0);
  return tf.mean(tfLosses(tf, predicted as TfTensor, labels));
}
