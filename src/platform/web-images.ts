import { decodeBmp } from "../data/images/bmp.ts";
import { opaqueGif } from "../data/images/gif.ts";
import { COPY_IMAGE, checkPixelCount, failImage, imageFormat } from "../data/images/image-format.ts";
import { browserProblem } from "../data/images/image-header.ts";
import type { DecodeImage } from "../data/images/images.ts";
import { fail } from "../util/fail.ts";

/**
 * Decodes PNG, JPEG, WebP, GIF and BMP with the browser's own decoder to the pixels that Pillow sees: turned as the EXIF
 * data say, without regard to colour profiles and opacity, of several pictures the first. A lossy picture may differ
 * by a few of 255 steps.
 * @throws LoraError where it is none of them, or of a kind of which browsers show other pixels
 */
export const decodeWebImage: DecodeImage = async (bytes, where) => {
  const format = imageFormat(bytes, where);
  if (format === "bmp") return decodeBmp(bytes, where);
  const problem = browserProblem(bytes, format);
  if (problem !== undefined) failImage(where, `${problem}, which browsers do not show as it is`);
  const bitmap = await openBitmap(format === "gif" ? opaqueGif(bytes, where) : bytes, where);
  const { width, height } = bitmap;
  checkPixelCount(width, height, where);
  const rgba = paintedPixels(bitmap, where);
  const isOpaque = rgba.every((value, i) => i % 4 !== 3 || value === 255);
  const pixels = isOpaque ? rgba : texturePixels(bitmap, where);
  const data = new Uint8Array(3 * width * height);
  for (let i = 0; i < width * height; i++) data.set(pixels.subarray(4 * i, 4 * i + 3), 3 * i);
  return { width, height, data };
};

function openBitmap(bytes: Uint8Array, where: string): Promise<ImageBitmap> {
  const options = { premultiplyAlpha: "none", colorSpaceConversion: "none" } as const;
  return createImageBitmap(new Blob([bytes.slice()]), options).catch((error: Error) =>
    fail(where, `is no image that can be decoded: ${error.message}`, COPY_IMAGE),
  );
}

/** RGBA by way of a canvas. It holds colours multiplied by their opacity: exact where all is opaque. */
function paintedPixels(bitmap: ImageBitmap, where: string): Uint8ClampedArray {
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
  if (!context) return fail(where, "the browser gives no canvas to read pixels from");
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height).data;
}

/** RGBA by way of a texture, which keeps colours apart from their opacity. */
function texturePixels(bitmap: ImageBitmap, where: string): Uint8Array {
  const { width, height } = bitmap;
  const gl = new OffscreenCanvas(1, 1).getContext("webgl2");
  if (!gl)
    return failImage(where, "has transparent pixels, whose colours this browser cannot read without WebGL");
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false);
  gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
  gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
  gl.framebufferTexture2D(
    gl.FRAMEBUFFER,
    gl.COLOR_ATTACHMENT0,
    gl.TEXTURE_2D,
    gl.getParameter(gl.TEXTURE_BINDING_2D),
    0,
  );
  const pixels = new Uint8Array(4 * width * height);
  gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
  const error = gl.getError();
  gl.getExtension("WEBGL_lose_context")?.loseContext();
  if (error !== 0) failImage(where, `has transparent pixels, which WebGL cannot read (error ${error})`);
  return pixels;
}
