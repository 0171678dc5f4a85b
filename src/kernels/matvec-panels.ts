import { empty, Tensor } from "../gpu/tensor.ts";
import type { Texels } from "../gpu/texels.ts";
import type { Specialization } from "../gpu/wgsl.ts";
import { ACTIVATIONS, type Activation } from "./activations.ts";
import { type CodeLayout, codeConstants, codeLayout, fillCodes, GROUP } from "./code-panels.ts";
import { FORMATS, type WeightFormat } from "./formats.ts";
import { foldGrid } from "./grid.ts";
import type { InputNorm, TogetherPart } from "./joint-products.ts";
import { RASTERISER_SHADERS } from "./late-shaders.ts";
import type { Operands, Problem } from "./matmul-problem.ts";
import { firstValue, partsOf, type Weight } from "./weight.ts";

/** Most weights of one product. */
const MOST_PARTS = 3;
/** Tensors in one buffer begin at multiples of so many floats: of 256 bytes, as bindings do. */
const ALIGNED = 64;

/** Lanes of the subgroups that weights of few bits are read by: a table of sixteen values lies in twice eight, and no others were measured. */
const CODE_LANES = 8;

/**
 * Computes a product of a few rows with a weight of 16 bits or fewer that is read again and again, as in decoding: out of a copy in a texture,
 * whose texels lie in the order in which they are read.
 * @returns false, with nothing done, where there is no such copy
 */
export function launchPanels({ a, b, c, extend }: Operands, problem: Problem): boolean {
  const { m, n, k, lda, ldb, aOffset, bOffset, aTransposed, bTransposed } = problem;
  if (aTransposed || !bTransposed || c.dtype !== "f32" || !fits(a, m, [b])) return false;
  if (k !== lda || k !== ldb || aOffset !== 0 || bOffset !== 0 || b.rows !== n) return false;
  const panels = panelsOf([b], false);
  if (!panels) return false;
  dispatch(a, c, { panels, parts: [{ n, e: extend?.e }], h: extend?.h }, problem);
  return true;
}

/**
 * Several layers of one input in one dispatch, in the way of {@link launchPanels}.
 * @param x `[..., k]` f32
 * @param norm takes the norm of x for x; parts have no branches then
 * @returns what each gives, `[..., n]`; undefined, with nothing done, where there is no such copy
 */
export function launchTogether(
  x: Tensor,
  parts: readonly TogetherPart[],
  norm?: InputNorm,
): Tensor[] | undefined {
  const weights = parts.map(({ weight }) => weight);
  if (parts.length > MOST_PARTS || !fits(x, x.rows, weights, norm)) return undefined;
  const panels = panelsOf(weights, false);
  if (!panels) return undefined;
  let end = 0;
  const starts = weights.map(({ rows }) => {
    const start = end;
    end += Math.ceil((x.rows * rows) / ALIGNED) * ALIGNED;
    return start;
  });
  const all = empty(x.device, [end]);
  const placed = parts.map((part, i) => ({ ...placedPart(part), at: starts[i] as number }));
  dispatch(x, all, { panels, parts: placed, h: branchInput(parts), norm });
  return weights.map(({ rows }, i) => {
    const shape = [...x.shape.slice(0, -1), rows];
    return new Tensor(x.device, all.storage, shape, "f32", 4 * (starts[i] as number), undefined, all);
  });
}

/** act(x Gᵀ) · (x Uᵀ) in one dispatch, in the way of {@link launchTogether}. @param parts gate and up, of one shape */
export function launchGated(
  x: Tensor,
  parts: readonly [gate: TogetherPart, up: TogetherPart],
  activation: Activation,
  norm?: InputNorm,
): Tensor | undefined {
  const weights = parts.map(({ weight }) => weight);
  const [{ rows: n }, up] = weights as [Weight, Weight];
  if (up.rows !== n || !fits(x, x.rows, weights, norm)) return undefined;
  const panels = panelsOf(weights, true);
  if (!panels) return undefined;
  const y = empty(x.device, [...x.shape.slice(0, -1), n]);
  const gated = { panels, parts: parts.map(placedPart), h: branchInput(parts), activation, norm };
  dispatch(x, y, gated);
  return y;
}

const branchInput = (parts: readonly TogetherPart[]) =>
  parts.find(({ extend }) => extend !== undefined)?.extend?.h.of;

function placedPart({ weight, extend }: TogetherPart): Placed {
  return { n: weight.rows, e: extend?.e, hFirst: extend?.h.first };
}

/** Whether the copies of such weights can be made, and pay. */
function fits({ device }: Tensor, rows: number, weights: readonly Weight[], norm?: InputNorm): boolean {
  const [first] = weights;
  return weights.every((weight) => {
    const { format, columns } = weight;
    if (columns !== first?.columns || format !== first.format) return false;
    if (format === "bf16" || format === "f16") return columns % 8 === 0;
    // More rows share what is decoded, and buffers are as fast for them.
    if (norm || rows !== 1 || device.info.subgroupSize !== CODE_LANES) return false;
    const layout = codeLayout(weight);
    return layout !== undefined && layout === codeLayout(first);
  });
}

interface Placed {
  /** Rows of the weight. */
  readonly n: number;
  readonly e: Tensor | undefined;
  /** Which column of h is the first one of its branch. */
  readonly hFirst?: number | undefined;
  /** Where its columns of y begin. */
  readonly at?: number;
}

/** A copy, and how it lies where it is of few bits. */
interface Panels {
  readonly texels: Texels;
  readonly layout: CodeLayout | undefined;
  readonly format: Weight["format"];
}

interface PanelProduct {
  readonly panels: Panels;
  readonly parts: readonly Placed[];
  readonly h: Tensor | undefined;
  readonly activation?: Activation;
  readonly norm?: InputNorm | undefined;
}

/** What is known of a single product beside its sizes. */
type Single = Pick<Problem, "alpha" | "beta" | "ldc" | "cOffset" | "eOffset" | "hOffset" | "kExtra">;

function dispatch(
  x: Tensor,
  y: Tensor,
  { panels, parts, h, activation, norm }: PanelProduct,
  single?: Single,
): void {
  const { device, rows: m, columns: k } = x;
  const SG = device.info.subgroupSize;
  const [one, two, three] = parts as [Placed, Placed?, Placed?];
  const count = (rows = 0) => Math.ceil(rows / SG);
  const first3 = count(one.n) + count(two?.n);
  const all = first3 + count(three?.n);
  const COLUMNS = columnsOf(all, m, panels, activation !== undefined);
  const [columns, layers] = foldGrid(Math.ceil(all / COLUMNS));
  const extra = (part: Placed | undefined) => part?.e?.columns ?? 0;
  const e = (part: Placed | undefined) => part?.e ?? x;
  const { matvecCodes, matvecPanels } = RASTERISER_SHADERS.loaded();
  device.run(panels.layout ? matvecCodes : matvecPanels, "forward", {
    bind: { x, y, h: h ?? x, e: norm?.weight ?? e(one), e2: e(two), e3: e(three) },
    textures: { panels: panels.texels },
    // One flat literal: an object put together from parts takes an engine longer than recording the dispatch.
    // biome-ignore format: by what they belong to
    params: {
      k, ldh: h?.columns ?? 0, panels: all, alpha: single?.alpha ?? 1, beta: single?.beta ?? 0,
      first2: count(one.n), first3, n: one.n, n2: two?.n ?? 0, n3: three?.n ?? 0,
      ldc: single?.ldc ?? one.n, c_offset: single?.cOffset ?? 0, c2: two?.at ?? 0, c3: three?.at ?? 0,
      k_extra: single?.kExtra ?? extra(one), extra2: extra(two), extra3: extra(three),
      h_offset: single?.hOffset ?? one.hFirst ?? 0, h2: two?.hFirst ?? 0, h3: three?.hFirst ?? 0,
      e_offset: single?.eOffset ?? 0,
    },
    constants: constantsOf({ SG, ROWS: m, COLUMNS }, panels, activation, norm),
    grid: [columns, 1, layers],
  });
}

/**
 * Columns of a lane, the workgroups that must be left for them, and the most rows. Columns share what is loaded of x: 8 take a quarter
 * less processor time than 4, and 16 a twentieth less than 8, so that these must keep more cores busy. What a lane holds must stay
 * near the registers: with 8 columns, 8 rows take three times as long as 4; with 16, two take 1.5 times as long.
 */
const CHOICES = [
  { columns: 16, workgroups: 16, rows: 1 },
  { columns: 8, workgroups: 8, rows: 4 },
  { columns: 4, workgroups: 8, rows: 8 },
  { columns: 2, workgroups: 8, rows: 8 },
];

/** A table of values takes the registers of more columns. */
const MOST_WITH_TABLE = 8;

function columnsOf(panels: number, rows: number, { layout }: Panels, isGated: boolean): number {
  const most = layout?.CODES === 5 ? MOST_WITH_TABLE : Number.POSITIVE_INFINITY;
  for (const { columns, workgroups, rows: mostRows } of CHOICES)
    if (columns <= most && rows <= mostRows && panels >= columns * workgroups) return columns;
  return isGated ? 2 : 1;
}

/** A copy of the weights one after the other, or panel by panel in turns; undefined where there is no room. */
function panelsOf(weights: readonly Weight[], byTurns: boolean): Panels | undefined {
  const [first] = weights as [Weight];
  const { device, columns, format } = first;
  const SG = device.info.subgroupSize;
  const layout = codeLayout(first);
  const length = layout?.length ?? columns / 8;
  const panels = weights.map(({ rows }) => Math.ceil(rows / SG));
  const groups = Math.ceil(panels.reduce((sum, count) => sum + count, 0) / GROUP);
  const all = SG * length * GROUP * groups;
  const parts = weights.flatMap(partsOf);
  const regions = parts.map(({ storage, byteOffset, byteLength }) => [storage.id, byteOffset, byteLength]);
  const name = `${regions} ${weights.map(firstValue)} ${columns} ${byTurns}`;
  const storages = parts.map(({ storage }) => storage);
  const texels = device.textures.of(storages, name, all + (layout ? SG : 0), (texels) => {
    let next = 0;
    for (const [i, weight] of weights.entries()) {
      const place = byTurns ? { first: i, step: weights.length } : { first: next, step: 1 };
      next += panels[i] as number;
      if (layout) fillCodes(weight, layout, texels, { ...place, table: all });
      else fillHalves(weight.words, texels, place);
    }
  });
  return texels && { texels, layout, format };
}

function fillHalves(w: Tensor, panels: Texels, place: { first: number; step: number }): void {
  const { device, rows, columns } = w;
  const { workgroupSize: WG, workgroups } = device.profile;
  const SG = device.info.subgroupSize;
  const length = columns / 8;
  const texels = Math.ceil(rows / SG) * SG * length;
  device.run(RASTERISER_SHADERS.loaded().panels, "fill", {
    bind: { w },
    textures: { panels },
    params: { rows, length, texels, ...place },
    constants: { WG, SG, GROUP },
    grid: [Math.min(workgroups, Math.ceil(texels / WG))],
  });
}

const CONSTANTS = new Map<number | string, Specialization>();

/** The same frozen object for the same values, which the pipeline cache recognises by identity. */
function constantsOf(
  sizes: { SG: number; ROWS: number; COLUMNS: number },
  { layout, format }: Panels,
  activation: Activation | undefined,
  norm: InputNorm | undefined,
): Specialization {
  const { SG, ROWS, COLUMNS } = sizes;
  const ACTIVATION = activation ? ACTIVATIONS[activation] : 0;
  const GATED = activation !== undefined;
  const FORMAT = FORMATS[format as WeightFormat].code;
  const kind = layout ? 4 + layout.id : FORMAT;
  const shape = COLUMNS + 32 * (ROWS + 16 * (SG + 32 * (Number(GATED) + 2 * ACTIVATION)));
  const code = kind + 4096 * shape;
  const key = norm ? `${code} ${norm.eps} ${norm.offset}` : code;
  let constants = CONSTANTS.get(key);
  if (!constants) {
    const normed = { NORMED: norm !== undefined, EPS: norm?.eps ?? 0, OFFSET: norm?.offset ?? 0 };
    const own = layout ? codeConstants(layout) : { FORMAT, ...normed };
    constants = Object.freeze({ ...sizes, GROUP, ...own, GATED, ACTIVATION });
    CONSTANTS.set(key, constants);
  }
  return constants;
}
