import shader from "../../shaders/elementwise.wgsl";
import type { Device } from "../gpu/device.ts";
import { type DType, empty, emptyLike, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { type ElementLaunch, perElement, runElements } from "./launch.ts";
import { storedAs } from "./stored.ts";
import { elementWindows, rowWindows } from "./windows.ts";

/** `Params` of every entry point but {@link biasGradient}'s; what an entry does not read is 0. */
const params =
  (factor = 0, cols = 0) =>
  ({ count, width }: ElementLaunch) => ({ count, rows: 0, cols: cols / width, factor });

/** y = a + factor · b, for tensors of equal size; y has a's shape. f32. */
export function add(a: Tensor, b: Tensor, factor = 1): Tensor {
  checkSizes("add", a, b);
  const y = emptyLike(a);
  runElements(a.device, shader, "add", { bind: { a, b, y }, params: params(factor) });
  return y;
}

/** y = a ⊙ b, for tensors of equal size; y has a's shape. f32. With dy for a it is the gradient of b, and with dy for b that of a. */
export function multiply(a: Tensor, b: Tensor): Tensor {
  checkSizes("multiply", a, b);
  const y = emptyLike(a);
  runElements(a.device, shader, "multiply", { bind: { a, b, y }, params: params() });
  return y;
}

/** target += b, in place. f32. */
export function addInto(target: Tensor, b: Tensor): Tensor {
  checkSizes("addInto", target, b);
  runElements(b.device, shader, "add_into", { bind: { a: b, y: target }, params: params() });
  return target;
}

/** y = factor · x, added to `into` where given. f32. Its own backward pass. */
export function scale(x: Tensor, factor: number, into?: Tensor): Tensor {
  if (into) checkSizes("scale", x, into);
  const y = into ?? emptyLike(x);
  const constants = { ACCUMULATE: into !== undefined };
  runElements(x.device, shader, "scale", { bind: { a: x, y }, params: params(factor), constants });
  return y;
}

/** x in another type, added to `into`, which is of that type, where given. */
export function convert(x: Tensor, dtype: "f32" | "f16", into?: Tensor): Tensor {
  if (into) checkSizes("convert", x, into);
  if (dtype === "f16" && !x.device.info.f16)
    fail("convert", "shaders have no f16 on this device", "leave mixed precision out");
  const y = into ?? empty(x.device, x.shape, dtype);
  for (const { start, end } of elementWindows(x.device, x.size)) {
    const [other, part] = [x, y].map((tensor) => tensor.reshape([tensor.size]).slice(start, end)) as [
      Tensor,
      Tensor,
    ];
    const launch = perElement(x.device, end - start);
    const { elem, WG, grid } = launch;
    const types = {
      ...storedAs("convert", elem, [other], "other_stored"),
      ...storedAs("convert", elem, [part]),
    };
    x.device.run(shader, "convert", {
      bind: { other, y: part },
      params: params()(launch),
      constants: { elem, WG, ACCUMULATE: into !== undefined, ...types },
      grid,
    });
  }
  return y;
}

/** y = s · x with a factor s `[1]` that the device has computed, added to `into` where given. f32. */
export function scaleBy(x: Tensor, s: Tensor, into?: Tensor): Tensor {
  if (s.size !== 1) fail("scaleBy", `the factor is [${s.shape}], wanted [1]`);
  if (into) checkSizes("scaleBy", x, into);
  const y = into ?? emptyLike(x);
  runElements(x.device, shader, "scale_by", {
    bind: { a: x, y },
    whole: { scalar: s },
    params: params(),
    constants: { ACCUMULATE: into !== undefined },
  });
  return y;
}

/** y = cap · tanh(x / cap): bounds values softly. f32. */
export function softcap(x: Tensor, cap: number): Tensor {
  const y = emptyLike(x);
  runElements(x.device, shader, "softcap", { bind: { a: x, y }, params: params(cap) });
  return y;
}

/** dL/dx of {@link softcap} from its output y, added to `into` where given. f32. */
export function softcapBackward(dy: Tensor, y: Tensor, cap: number, into?: Tensor): Tensor {
  checkSizes("softcapBackward", dy, y);
  const dx = into ?? emptyLike(y);
  const constants = { ACCUMULATE: into !== undefined };
  const bind = { a: y, b: dy, y: dx };
  runElements(y.device, shader, "softcap_backward", { bind, params: params(cap), constants });
  return dx;
}

/** Sets every element of a tensor of floats. */
export function fill(y: Tensor, value: number): Tensor {
  runElements(y.device, shader, "fill", { bind: { y }, params: params(value) });
  return y;
}

/** A new tensor of zeros, f32 unless another type is given. */
export function zeros(device: Device, shape: readonly number[], dtype?: DType): Tensor {
  return fill(empty(device, shape, dtype), 0);
}

/** x[..., c] += bias[c], in place. f32. */
export function addBias(x: Tensor, bias: Tensor): Tensor {
  checkBias("addBias", x, bias.size);
  const unit = x.columns;
  runElements(x.device, shader, "add_bias", {
    bind: { y: x },
    whole: { bias },
    unit,
    params: params(0, unit),
  });
  return x;
}

/** db[c] = Σ over rows of dy[..., c], added to `into` where given. */
export function biasGradient(dy: Tensor, into?: Tensor): Tensor {
  if (into) checkBias("biasGradient", dy, into.size);
  const { device, columns } = dy;
  const db = into ?? empty(device, [columns]);
  const lines = dy.reshape([dy.rows, columns]);
  const stored = storedAs("biasGradient", "f32", [dy], "stored_one");
  for (const { start, end } of rowWindows(lines)) {
    device.run(shader, "bias_gradient", {
      bind: { dy: lines.slice(start, end), db },
      params: { count: 0, rows: end - start, cols: columns, factor: 0 },
      constants: { ACCUMULATE: into !== undefined || start > 0, ...stored },
      grid: [Math.ceil(columns / 32)],
    });
  }
  return db;
}

function checkSizes(where: string, a: Tensor, b: Tensor): void {
  if (a.size !== b.size) fail(where, `[${a.shape}] and [${b.shape}] differ in size`);
}

function checkBias(where: string, x: Tensor, size: number): void {
  if (size !== x.columns)
    fail(where, `bias has ${size} elements, expected ${x.columns} (last axis of [${x.shape}])`);
}
