import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { fitImage } from "../../../src/data/images/fit-image.ts";
import { imagePixels } from "../../../src/data/images/images.ts";
import { readImageConfig } from "../../../src/io/formats/image-config.ts";
import { decodeNodeImage } from "../../../src/platform/node-images.ts";
import { fixturePath, readJsonFile, readTensors } from "../../support/fixtures.ts";

const folder = fixturePath("images");
const configs = readJsonFile<Record<string, unknown>>(folder, "configs.json");
const tensors = await readTensors(folder, "golden.safetensors");

// Oracle: transformers 5.18 with Pillow (test/fixtures/make_images.py).
describe.each([...tensors.keys()])("%s", (key) => {
  test("pixels are transformers' to within one of 255 steps", async () => {
    const [name, file] = key.split("/") as [string, string];
    const config = readImageConfig(configs[name], { height: 1, width: 1 });
    const bytes = new Uint8Array(readFileSync(`${folder}/${file}`));
    const decoded = await decodeNodeImage(bytes, file);
    const got = imagePixels(fitImage(decoded, config), config);
    const want = tensors.get(key)!;
    expect(got.length).toBe(want.length);
    const channel = (i: number) => Math.floor((3 * i) / got.length);
    const steps = Array.from(got, (value, i) => {
      return (Math.abs(value - want[i]!) * config.std[channel(i)]!) / config.factor;
    });
    // Pillow's fixed-point weights, and another JPEG decoder, may round the other way here and there.
    expect(Math.max(...steps)).toBeLessThan(file.endsWith("jpg") ? 2.01 : 1.01);
    expect(steps.reduce((a, b) => a + b) / steps.length).toBeLessThan(file.endsWith("jpg") ? 0.1 : 0.01);
  });
});

test("one number as size is a square, or the shorter edge", () => {
  const read = (config: object) => readImageConfig(config, { height: 1, width: 1 });
  expect(read({ size: 24, do_center_crop: true, crop_size: 20 })).toMatchObject({
    resize: { height: 24, width: 24 },
    crop: { height: 20, width: 20 },
  });
  expect(read({ size: 24, default_to_square: false }).resize).toEqual({
    shortestEdge: 24,
    kernel: "bilinear",
  });
});

describe("bad input", () => {
  test("a file that is no image says so", async () => {
    await expect(decodeNodeImage(new Uint8Array([1, 2, 3]), "cats/1.png")).rejects.toThrow(
      /cats\/1\.png: is no image that can be decoded/,
    );
    const broken = new Uint8Array(readFileSync(`${folder}/colour.png`)).slice(0, 300);
    await expect(decodeNodeImage(broken, "b.png")).rejects.toThrow("b.png: is no image");
  });

  test("what is not implemented is refused by field name, all at once", () => {
    const config = {
      ...{ size: { shortest_edge: 224, longest_edge: 300 }, do_center_crop: true, do_pad: true },
      ...{ resample: 5, image_std: [1, 0, 1] },
    };
    expect(() => readImageConfig(config, { height: 1, width: 1 })).toThrow(
      /5 problems:[\s\S]*do_pad true[\s\S]*size \{"shortest_edge":224,"longest_edge":300\}[\s\S]*crop_size is undefined/,
    );
  });
});
