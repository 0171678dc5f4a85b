import { readFile } from "node:fs/promises";
import { ItemInspector } from "../../data/inspect/item-inspector.ts";
import type { Look } from "../../data/inspect/looks.ts";
import { bytesKey } from "../../data/inspect/row-key.ts";
import type { EncodedItem } from "../../data/tokenize/task-rows.ts";
import { decodeNodeImage } from "../../platform/node-images.ts";
import type { ImageFile } from "../image-folders.ts";

/** Images in folders, which are decoded to see that they can be. */
export function imageLook(classes: readonly string[]): Look<ImageFile, EncodedItem> {
  return {
    async encode({ path, label }, place) {
      const bytes = new Uint8Array(await readFile(path));
      const { width, height } = await decodeNodeImage(bytes, path);
      return {
        place,
        fate: "kept",
        texts: [],
        labels: [label],
        key: bytesKey(bytes),
        item: { width, height },
      };
    },
    inspector: (judged) => new ItemInspector({ maxLength: 0, classes, ...(judged && { judged }) }),
    view: ({ labels, item }, name, findings) => {
      const { width, height } = item as { width: number; height: number };
      return {
        name,
        fate: "kept",
        findings,
        labels,
        trained: 0,
        tokens: [],
        size: `${width} × ${height} pixels`,
      };
    },
  };
}
