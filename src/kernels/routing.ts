import shader from "../../shaders/routing.wgsl";
import { empty, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";

/** What share of a token's result a chosen expert has. */
export interface RoutingOptions {
  /** How many experts a token goes through. */
  chosen: number;
  /**
   * `chosen`: of the softmax over the chosen logits, which is the softmax over all with the shares of the chosen divided by
   * their sum (gpt-oss, Mixtral). `all`: of the softmax over all experts, so that the shares do not add up to 1.
   */
  shares: "chosen" | "all";
}

/** The experts that tokens go through. */
export interface Routes {
  /** Shares `[T, K]` f32. */
  weights: Tensor;
  /** Which experts these are, u32 `[T, K]`, by falling logits. */
  experts: Tensor;
}

/** Invocations of a workgroup; one computes a token. */
const WG = 64;

/**
 * The largest logits of each token, and their shares. Shazeer et al. 2017, arXiv 1701.06538.
 * @param logits `[T, E]` f32
 */
export function route(logits: Tensor, options: RoutingOptions): Routes {
  const { rows: tokens, columns, device } = logits;
  const { chosen } = options;
  if (chosen < 1 || chosen > columns) fail("route", `${chosen} experts of ${columns} a token`);
  const weights = empty(device, [tokens, chosen]);
  const experts = empty(device, [tokens, chosen], "u32");
  device.run(shader, "choose", {
    bind: { logits, weights, experts_out: experts },
    ...settings(logits, options),
    grid: [Math.ceil(tokens / WG)],
  });
  return { weights, experts };
}

/** What the backward pass of {@link route} reads: its input and outputs. */
export interface RoutingSaved extends Routes, RoutingOptions {
  logits: Tensor;
}

/** dL/dlogits `[T, E]`. @param dweights `[T, K]` */
export function routeBackward(dweights: Tensor, saved: RoutingSaved): Tensor {
  const { logits, weights, experts } = saved;
  if (dweights.size !== weights.size)
    fail("routeBackward", `dweights is [${dweights.shape}], expected [${weights.shape}]`);
  const dlogits = empty(logits.device, logits.shape);
  logits.device.run(shader, "choose_backward", {
    bind: { logits, weights_in: weights, experts, d_weights: dweights, d_logits: dlogits },
    ...settings(logits, saved),
    grid: [Math.ceil(logits.rows / WG)],
  });
  return dlogits;
}

function settings({ rows: tokens, columns: experts }: Tensor, { chosen, shares }: RoutingOptions) {
  return {
    params: { tokens, experts, chosen, choices: tokens * chosen },
    constants: { OF_ALL: shares === "all", WG },
  };
}

/**
 * Sorts choices by their experts, on the device and always the same way.
 * @param experts u32 of any shape, all below `count`: which expert each choice is
 * @param count how many experts there are
 * @returns u32 `[count + N]`: for each expert where its choices end in what follows, then the numbers of the choices
 */
export function sortChoices(experts: Tensor, count: number): Tensor {
  const { device, size } = experts;
  if (experts.dtype !== "u32") fail("sortChoices", `experts is ${experts.dtype}, expected u32`);
  const sorted = empty(device, [count + size], "u32");
  device.run(shader, "sort", {
    bind: { experts, sorted },
    params: { tokens: 0, experts: count, chosen: 0, choices: size },
    constants: { LANES: device.profile.sharesWork ? 64 : 8 },
    grid: [count],
  });
  return sorted;
}
