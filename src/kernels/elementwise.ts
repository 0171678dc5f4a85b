import shader from "../../shaders/elementwise.wgsl";
import type { Device } from "../gpu/device.ts";
import { empty, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { perElement } from "./launch.ts";

/** `Params` of every entry point but {@link biasGradient}'s; what an entry does not read is 0. */
const params = (count: number, rest: { cols?: number; factor?: number } = {}) => ({
  ...{ count, rows: 0, cols: 0, factor: 0 },
  ...rest,
});

/** y = a + factor · b, for tensors of equal size; y has a's shape. f32. */
export function add(a: Tensor, b: Tensor, factor = 1): Tensor {
  checkSizes("add", a, b);
  const { count, elem, grid } = perElement(a.device, a.size);
  const y = empty(a.device, a.shape);
  a.device.run(shader, "add", {
    bind: { a, b, y },
    params: params(count, { factor }),
    constants: { elem },
    grid,
  });
  return y;
}

/** target += b, in place. f32. */
export function addInto(target: Tensor, b: Tensor): Tensor {
  checkSizes("addInto", target, b);
  const { count, elem, grid } = perElement(b.device, b.size);
  const bind = { a: b, y: target };
  b.device.run(shader, "add_into", { bind, params: params(count), constants: { elem }, grid });
  return target;
}

/** y = factor · x, added to `into` where given. f32. Its own backward pass. */
export function scale(x: Tensor, factor: number, into?: Tensor): Tensor {
  if (into) checkSizes("scale", x, into);
  const { count, elem, grid } = perElement(x.device, x.size);
  const y = into ?? empty(x.device, x.shape);
  const constants = { elem, ACCUMULATE: into !== undefined };
  x.device.run(shader, "scale", { bind: { a: x, y }, params: params(count, { factor }), constants, grid });
  return y;
}

/** y = cap · tanh(x / cap): bounds values softly. f32. */
export function softcap(x: Tensor, cap: number): Tensor {
  const { count, elem, grid } = perElement(x.device, x.size);
  const y = empty(x.device, x.shape);
  x.device.run(shader, "softcap", {
    bind: { a: x, y },
    params: params(count, { factor: cap }),
    constants: { elem },
    grid,
  });
  return y;
}

/** dL/dx of {@link softcap} from its output y, added to `into` where given. f32. */
export function softcapBackward(dy: Tensor, y: Tensor, cap: number, into?: Tensor): Tensor {
  checkSizes("softcapBackward", dy, y);
  const { count, elem, grid } = perElement(y.device, y.size);
  const dx = into ?? empty(y.device, y.shape);
  y.device.run(shader, "softcap_backward", {
    bind: { a: y, b: dy, y: dx },
    params: params(count, { factor: cap }),
    constants: { elem, ACCUMULATE: into !== undefined },
    grid,
  });
  return dx;
}

/** Sets every element of an f32 tensor. */
export function fill(y: Tensor, value: number): Tensor {
  const { count, elem, grid } = perElement(y.device, y.size);
  y.device.run(shader, "fill", {
    bind: { y },
    params: params(count, { factor: value }),
    constants: { elem },
    grid,
  });
  return y;
}

/** A new f32 tensor of zeros. */
export function zeros(device: Device, shape: readonly number[]): Tensor {
  return fill(empty(device, shape), 0);
}

/** x[..., c] += bias[c], in place. f32. */
export function addBias(x: Tensor, bias: Tensor): Tensor {
  checkBias("addBias", x, bias.size);
  const { width, count, elem, grid } = perElement(x.device, x.size, x.columns);
  const cols = x.columns / width;
  x.device.run(shader, "add_bias", {
    bind: { a: bias, y: x },
    params: params(count, { cols }),
    constants: { elem },
    grid,
  });
  return x;
}

/** db[c] = Σ over rows of dy[..., c], added to `into` where given. */
export function biasGradient(dy: Tensor, into?: Tensor): Tensor {
  if (into) checkBias("biasGradient", dy, into.size);
  const db = into ?? empty(dy.device, [dy.columns]);
  dy.device.run(shader, "bias_gradient", {
    bind: { dy, db },
    params: { count: 0, rows: dy.rows, cols: dy.columns, factor: 0 },
    constants: { ACCUMULATE: into !== undefined },
    grid: [Math.ceil(dy.columns / 32)],
  });
  return db;
}

function checkSizes(where: string, a: Tensor, b: Tensor): void {
  if (a.size !== b.size) fail(where, `[${a.shape}] and [${b.shape}] differ in size`);
}

function checkBias(where: string, x: Tensor, size: number): void {
  if (size !== x.columns)
    fail(where, `bias has ${size} elements, expected ${x.columns} (last axis of [${x.shape}])`);
}
