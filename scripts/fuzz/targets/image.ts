import { readdirSync } from "node:fs";
import { join } from "node:path";
import { decodeBmp } from "../../../src/data/images/bmp.ts";
import { opaqueGif } from "../../../src/data/images/gif.ts";
import { imageFormat } from "../../../src/data/images/image-format.ts";
import { browserProblem } from "../../../src/data/images/image-header.ts";
import type { Random } from "../../../src/util/random.ts";
import { bytesAt, FIXTURES } from "../corpus.ts";
import { mutateBytes } from "../mutate-text.ts";
import { ensure, type Target } from "../target.ts";

const FOLDER = join(FIXTURES, "images", "formats");
const NAME = "image";

let pictures: readonly Uint8Array[] | undefined;

function all(): readonly Uint8Array[] {
  const names = () => readdirSync(FOLDER).filter((name) => !name.endsWith(".json"));
  pictures ??= names()
    .sort()
    .map((name) => bytesAt(join(FOLDER, name)));
  return pictures;
}

/** Sizes and offsets are in the first bytes, which are changed most. */
function broken(bytes: Uint8Array, random: Random): Uint8Array {
  if (random.integer(3) === 0) return mutateBytes(bytes, random);
  const changed = bytes.slice(0, random.integer(4) === 0 ? random.integer(bytes.length + 1) : bytes.length);
  for (let left = 1 + random.integer(3); left > 0; left--) {
    const at = random.integer(Math.max(1, Math.min(64, changed.length)));
    const value = random.pick([
      [0],
      [1],
      [255],
      [0, 0],
      [255, 255],
      [0, 0, 0, 128],
      [255, 255, 255, 127],
      [3, 0, 0, 0],
    ]);
    changed.set(value.slice(0, Math.max(0, changed.length - at)), Math.min(at, changed.length));
  }
  return changed;
}

/** Images, as far as they are read here and not by a library: a bitmap has its pixels. */
export const image: Target = {
  make: (random) => new Map([[NAME, broken(random.pick(all()), random)]]),
  read(input) {
    const bytes = input.get(NAME) as Uint8Array;
    const format = imageFormat(bytes, NAME);
    browserProblem(bytes, format);
    if (format === "gif") {
      ensure(opaqueGif(bytes, NAME).length === bytes.length, () => "the GIF has another length");
    }
    if (format !== "bmp") return;
    const { width, height, data } = decodeBmp(bytes, NAME);
    ensure(width > 0 && height > 0, () => `it has ${width} × ${height} pixels`);
    ensure(data.length === 3 * width * height, () => `${data.length} bytes for ${width} × ${height} pixels`);
  },
};
