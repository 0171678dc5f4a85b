import { failAll } from "../../util/fail.ts";
import { isObject } from "../../util/json.ts";
import { FACTOR, inWords, isWithin } from "../../util/options.ts";

/** How pixels between others are computed; Pillow's numbers for them in `preprocessor_config.json`. */
export type ResizeKernel = "nearest" | "lanczos" | "bilinear" | "bicubic";

const KERNELS: Readonly<Record<number, ResizeKernel>> = {
  0: "nearest",
  1: "lanczos",
  2: "bilinear",
  3: "bicubic",
};

/** Height and width in pixels. */
export interface ImageSize {
  readonly height: number;
  readonly width: number;
}

/** A size, or the length of the shorter edge of an image that keeps its proportions. */
export type ResizeTarget = ImageSize | { readonly shortestEdge: number };

/** How a model wants its images. */
export interface ImageConfig {
  /** Undefined: they are taken as they are. */
  readonly resize: (ResizeTarget & { readonly kernel: ResizeKernel }) | undefined;
  /** The middle that is cut out after that; undefined: all of it stays. */
  readonly crop: ImageSize | undefined;
  /** Factor of the bytes 0 … 255. */
  readonly factor: number;
  /** Subtracted from each channel after that. */
  readonly mean: readonly number[];
  /** Divides each channel after that. */
  readonly std: readonly number[];
}

/** Fields that change nothing about the pixels. */
const IRRELEVANT =
  /^(?:image_processor_type|feature_extractor_type|_?processor_class|data_format|input_data_format|device|return_tensors|disable_grouping|_valid_processor_keys|do_convert_rgb|size_divisor|image_seq_length|pad_size)$/;
const KNOWN =
  /^(?:do_resize|size|default_to_square|do_center_crop|crop_size|resample|do_rescale|rescale_factor|do_normalize|image_mean|image_std)$/;

/**
 * Reads `preprocessor_config.json` of an image model.
 * @param fallback height and width where it names none
 * @throws LoraError listing every field that is wrong or switches on something that is not implemented
 */
export function readImageConfig(
  json: unknown,
  fallback: ImageSize,
  where = "preprocessor_config.json",
): ImageConfig {
  const config = isObject(json) ? json : {};
  const problems: string[] = [];
  for (const [name, value] of Object.entries(config)) {
    const isOff = value === null || value === false;
    if (isOff || KNOWN.test(name) || IRRELEVANT.test(name)) continue;
    problems.push(`${name} ${JSON.stringify(value)} is not supported`);
  }
  const number = (name: string, standard: number) => {
    const value = config[name] ?? standard;
    if (isWithin(value, FACTOR)) return value as number;
    problems.push(`${name} is ${JSON.stringify(value)}, expected a number${inWords(FACTOR)}`);
    return standard;
  };
  const channels = (name: string) => readChannels(config[name], name, problems);
  const size = readSize(config, fallback, problems);
  const kernel = KERNELS[number("resample", 2)];
  if (!kernel) problems.push(`resample ${JSON.stringify(config.resample)} is not supported; 0 to 3 are`);
  const isOn = (name: string) => config[name] !== false && config[name] !== null;
  const normalise = isOn("do_normalize");
  const result: ImageConfig = {
    resize: isOn("do_resize") ? { ...size, kernel: kernel ?? "bilinear" } : undefined,
    crop: config.do_center_crop === true ? readCrop(config.crop_size, fallback, problems) : undefined,
    factor: isOn("do_rescale") ? number("rescale_factor", 1 / 255) : 1,
    mean: normalise ? channels("image_mean") : [0, 0, 0],
    std: normalise ? channels("image_std") : [1, 1, 1],
  };
  failAll(where, problems, "take the file that belongs to the weights, or correct the fields");
  return result;
}

function readChannels(value: unknown, name: string, problems: string[]): number[] {
  const list = value ?? [0.5, 0.5, 0.5];
  const isDivisor = name === "image_std";
  const accepts = (x: unknown) => isWithin(x, FACTOR) && !(isDivisor && Math.abs(x as number) < LEAST);
  if (Array.isArray(list) && list.length === 3 && list.every(accepts)) return list;
  const wanted = `three numbers${inWords(FACTOR)}${isDivisor ? ", none of them 0" : ""}`;
  problems.push(`${name} is ${JSON.stringify(value)}, expected ${wanted}`);
  return [0.5, 0.5, 0.5];
}

/** What divides by less leaves the range of 32-bit floats. */
const LEAST = 1 / FACTOR.max;

const isSide = (side: unknown): side is number => Number.isInteger(side) && (side as number) > 0;

/** One number, as before transformers 4.26, is for both sides, or with `default_to_square` off for the shorter one. */
function readSize(
  { size, default_to_square }: Readonly<Record<string, unknown>>,
  fallback: ImageSize,
  problems: string[],
): ResizeTarget {
  if (size === undefined || size === null) return fallback;
  if (isSide(size)) return default_to_square === false ? { shortestEdge: size } : square(size);
  const known = isObject(size) ? givenSides(size) : "";
  if (isObject(size) && known === "height,width" && isSide(size.height) && isSide(size.width))
    return { height: size.height, width: size.width };
  if (isObject(size) && known === "shortest_edge" && isSide(size.shortest_edge))
    return { shortestEdge: size.shortest_edge };
  problems.push(
    `size ${JSON.stringify(size)} is not supported; {"height", "width"} and {"shortest_edge"} are`,
  );
  return fallback;
}

function readCrop(size: unknown, fallback: ImageSize, problems: string[]): ImageSize {
  if (isSide(size)) return square(size);
  if (isObject(size) && isSide(size.height) && isSide(size.width)) {
    return { height: size.height, width: size.width };
  }
  problems.push(`crop_size is ${JSON.stringify(size)}, expected {"height", "width"} for do_center_crop`);
  return fallback;
}

/** Newer writers list all kinds of sizes, the unused ones as null. */
function givenSides(size: Readonly<Record<string, unknown>>): string {
  const given = Object.keys(size).filter((key) => size[key] !== null);
  return given.sort().join(",");
}

function square(side: number): ImageSize {
  return { height: side, width: side };
}
