import shader from "../../shaders/token-rows.wgsl";
import { empty, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { foldGrid } from "./grid.ts";
import { commonWindows } from "./windows.ts";

// What it takes to compute with other rows of a vocabulary's matrix at a few of its tokens.

const WG = 64;

/**
 * Where ids stand among some tokens: the j with tokens[j] = id, and 2³² − 1, which no table has, for all others.
 * @param ids u32 or i32, any shape
 * @param tokens `[n]` u32, each once
 * @returns u32, like `ids`
 */
export function findTokens(ids: Tensor, tokens: Tensor): Tensor {
  const slots = empty(ids.device, ids.shape, "u32");
  ids.device.run(shader, "find", {
    bind: { tokens, ids, slots },
    params: { ids: ids.size, elements: 0, count: tokens.size, cols: 0 },
    constants: { WG },
    grid: foldGrid(Math.ceil(ids.size / WG)),
  });
  return slots;
}

/**
 * y[..., tokens[j]] += x[..., j], in place.
 * @param y `[..., V]` f32
 * @param x `[..., n]` f32
 * @param tokens `[n]` u32, each once and below V
 * @returns y
 */
export function addToColumns(y: Tensor, x: Tensor, tokens: Tensor): Tensor {
  for (const { wide, narrow, params, grid } of launches(y, x, tokens)) {
    y.device.run(shader, "add", { bind: { tokens, x: narrow, y: wide }, params, constants: { WG }, grid });
  }
  return y;
}

/**
 * The columns of `wide` at some tokens: the backward pass of {@link addToColumns}.
 * @param wide `[..., V]` f32
 * @param tokens `[n]` u32, each below V
 * @returns `[..., n]`, or `into` with them added
 */
export function takeColumns(wide: Tensor, tokens: Tensor, into?: Tensor): Tensor {
  const taken = into ?? empty(wide.device, [...wide.shape.slice(0, -1), tokens.size]);
  for (const { wide: part, narrow, params, grid } of launches(wide, taken, tokens)) {
    const constants = { WG, ACCUMULATE: into !== undefined };
    wide.device.run(shader, "take", { bind: { tokens, wide: part, narrow }, params, constants, grid });
  }
  return taken;
}

/** A dispatch for each run of rows that the device can bind. */
function launches(wide: Tensor, narrow: Tensor, tokens: Tensor) {
  if (wide.rows !== narrow.rows || narrow.columns !== tokens.size) {
    fail("token columns", `[${narrow.shape}] of [${wide.shape}] at ${tokens.size} tokens`);
  }
  const { device, rows, columns: cols } = wide;
  const part = (tensor: Tensor, start: number, end: number) =>
    tensor.reshape([rows, tensor.columns]).slice(start, end);
  const windows = commonWindows(rows, [4 * cols, 4 * tokens.size], device.bindingLimit);
  return windows.map(({ start, end }) => {
    const elements = (end - start) * tokens.size;
    return {
      wide: part(wide, start, end),
      narrow: part(narrow, start, end),
      params: { ids: 0, elements, count: tokens.size, cols },
      grid: foldGrid(Math.ceil(elements / WG)),
    };
  });
}
