import { readdirSync, readFileSync } from "node:fs";
import sharp from "sharp";
import { describe, expect, test } from "vitest";
import { browserProblem } from "../../../src/data/images/image-header.ts";
import { decodeNodeImage } from "../../../src/platform/node-images.ts";
import { fixturePath, readJsonFile } from "../../support/fixtures.ts";

const folder = fixturePath("images/formats");
const golden = readJsonFile<Record<string, { width: number; height: number; rgb: string }>>(
  folder,
  "golden.json",
);
const decode = (name: string) => decodeNodeImage(new Uint8Array(readFileSync(`${folder}/${name}`)), name);

// Oracle: transformers' load_image with Pillow (test/fixtures/make_image_formats.py).
test.each(Object.keys(golden))("%s has the pixels that Pillow sees", async (name) => {
  const { width, height, rgb } = golden[name]!;
  const image = await decode(name);
  expect([image.width, image.height]).toEqual([width, height]);
  const want = Buffer.from(rgb, "base64");
  expect(image.data.length).toBe(want.length);
  const steps = Math.max(...want.map((value, i) => Math.abs(value - image.data[i]!)));
  // Decoders of the lossy formats may round differently, though on x86 they do not.
  expect(steps).toBeLessThanOrEqual(/\.jpg$|lossy/.test(name) ? 2 : 0);
});

describe("what would have other pixels is refused", () => {
  test.each([
    ["refused-part.gif", "is a GIF whose first picture does not cover all of it"],
    ["refused-int16.tif", "has 1 channels of grey16 as short"],
    ["refused-565.bmp", "is a bitmap of 16 bits a pixel with compression 3"],
    ["refused.avif", "is AVIF"],
    ["refused.jp2", "is JPEG 2000"],
  ])("%s %s", async (name, message) => {
    await expect(decode(name)).rejects.toThrow(`${name}: ${message}, which is not read\n  → python -c "`);
  });

  test("every file is either compared or refused", () => {
    const files = readdirSync(folder).filter((name) => name !== "golden.json");
    expect(files.filter((name) => !(name in golden) && !name.startsWith("refused"))).toEqual([]);
    expect(files.length).toBeGreaterThan(60);
  });
});

describe("damaged files", () => {
  test.each(["rgba.png", "444.jpg", "animated.gif", "lossy.webp", "lzw.tif", "rgb.bmp"])(
    "%s cut off",
    async (name) => {
      const bytes = new Uint8Array(readFileSync(`${folder}/${name}`));
      for (const length of [40, Math.floor(bytes.length / 2)]) {
        await expect(decodeNodeImage(bytes.slice(0, length), name), String(length)).rejects.toThrow(
          `${name}: is no image that can be decoded`,
        );
      }
    },
  );

  test("a bitmap cut off behind its masks, and one of no rows", async () => {
    const changed = (length: number, offset: number, ...values: number[]) => {
      const bytes = new Uint8Array(readFileSync(`${folder}/masks.bmp`)).slice(0, length);
      bytes.set(values, offset);
      return decodeNodeImage(bytes, "x.bmp");
    };
    const [masks, height] = [54, 22];
    for (const length of [54, 58, 61])
      await expect(changed(length, 0)).rejects.toThrow("the bitmap is cut off\n  → ");
    await expect(changed(200, height, 0, 0, 0, 0)).rejects.toThrow("is a bitmap of 17 × 0 pixels\n  → ");
    await expect(changed(200, masks, 1)).rejects.toThrow("with compression 3, which is not read");
  });

  test("a small file of too many pixels is refused before they are decoded", async () => {
    const png = await sharp({ create: { width: 9460, height: 9460, channels: 3, background: "black" } })
      .png()
      .toBuffer();
    expect(png.length).toBeLessThan(2 ** 20);
    await expect(decodeNodeImage(png, "x.png")).rejects.toThrow(
      /x\.png: has 9460 × 9460 pixels, .*\n {2}→ make it smaller/,
    );
    const bitmap = new Uint8Array(readFileSync(`${folder}/1.bmp`));
    new DataView(bitmap.buffer).setInt32(18, 2 ** 30, true);
    await expect(decodeNodeImage(bitmap, "x.bmp")).rejects.toThrow("x.bmp: has 1073741824 × ");
  });

  test("EXIF data too short for a direction are upright", () => {
    const chunk = (data: string) =>
      Buffer.from(`\0\0\0${String.fromCharCode(data.length)}eXIf${data}\0\0\0\0`, "latin1");
    const png = (data: string) => Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), chunk(data)]);
    for (const data of ["", "Exif", "Exif\0", "Exif\0\0", "Exif\0\0MM\0*"])
      expect(browserProblem(png(data), "png"), JSON.stringify(data)).toBe(undefined);
  });

  test("what is no image at all is named", async () => {
    const refusal = (text: string) => decodeNodeImage(Buffer.from(text, "latin1"), "a.png");
    await expect(refusal("")).rejects.toThrow("a.png: is no image that can be decoded: it is empty");
    await expect(refusal("version https://git-lfs.github.com/spec/v1\n")).rejects.toThrow(
      /pointer of Git LFS[\s\S]*git lfs pull/,
    );
    await expect(refusal("<svg xmlns=")).rejects.toThrow("a.png: is SVG, which is not read");
    await expect(refusal("hello")).rejects.toThrow('it begins with "hello"');
  });
});
