import { isObject } from "../../util/json.ts";
import type { RowStream } from "./row-stream.ts";

/** Whether rows are read when they are needed. */
export function isRowStream<R>(rows: unknown): rows is RowStream<R> {
  return isObject(rows) && "read" in rows && "sets" in rows;
}
