import shader from "../../shaders/embedding.wgsl";
import { empty, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { zeros } from "./elementwise.ts";
import { foldGrid } from "./grid.ts";
import { reductionSize } from "./launch.ts";
import { firstValue, scaleBindings, type Weight, weightDecoding } from "./weight.ts";
import { rowWindows } from "./windows.ts";

/**
 * y[n] = table[ids[n]]. A table above the binding limit is read in row windows, one dispatch each.
 * @param table `[vocab, cols]` of any format
 * @param ids i32 or u32, any shape; an id outside the table gives a row of zeros
 * @param limitBytes see {@link rowWindows}
 * @returns `[...ids.shape, cols]` f32
 */
export function embedding(table: Weight, ids: Tensor, limitBytes?: number): Tensor {
  const { constants } = weightDecoding(table);
  checkIds(ids);
  const y = empty(table.device, [...ids.shape, table.columns]);
  for (const { start, end } of rowWindows(table, limitBytes)) {
    const rows = table.slice(start, end);
    table.device.run(shader, "forward", {
      bind: { table: rows.words, ids, y, ...scaleBindings(rows) },
      params: {
        tokens: ids.size,
        cols: table.columns,
        start,
        end,
        vocab: table.rows,
        b_first: firstValue(rows),
      },
      constants,
      grid: foldGrid(ids.size),
    });
  }
  return y;
}

/**
 * dL/dtable `[vocab, cols]` f32, added to `into` where given: dtable[ids[n]] += dy[n].
 * Ids outside the table add nothing.
 * The work is tokens² / 2 comparisons, so this is for training small models whole.
 */
export function embeddingBackward(
  dy: Tensor,
  ids: Tensor,
  vocab: number,
  into?: Tensor,
  limitBytes?: number,
): Tensor {
  checkIds(ids);
  if (dy.rows !== ids.size) fail("embeddingBackward", `dy is [${dy.shape}] for ${ids.size} ids`);
  const dtable = into ?? zeros(dy.device, [vocab, dy.columns]);
  for (const { start, end } of rowWindows(dtable, limitBytes)) {
    dy.device.run(shader, "backward", {
      bind: { ids, dy, dtable: dtable.slice(start, end) },
      params: { tokens: ids.size, cols: dy.columns, start, end, vocab, b_first: 0 },
      constants: { WG: Math.min(64, reductionSize(dy.device, ids.size)) },
      grid: foldGrid(ids.size),
    });
  }
  return dtable;
}

function checkIds(ids: Tensor): void {
  if (ids.dtype !== "i32" && ids.dtype !== "u32")
    fail("embedding", `ids are ${ids.dtype}, expected i32 or u32`);
}
