import portable from "../../shaders/grouped-matmul.wgsl";
import subgroup from "../../shaders/grouped-matmul-subgroup.wgsl";
import { empty, type Tensor } from "../gpu/tensor.ts";
import type { Specialization } from "../gpu/wgsl.ts";
import { greatestCommonDivisor } from "../util/divisors.ts";
import { fail } from "../util/fail.ts";
import type { Decoding } from "./formats.ts";
import { hasOuterProducts } from "./matmul-shader.ts";
import { sortChoices } from "./routing.ts";
import { firstValue, scaleBindings, type Weight, weightDecoding } from "./weight.ts";

/** A matrix for each expert, and which expert each row of a product goes through. */
export interface Grouping {
  /** Which expert each choice is: u32 `[T, K]`, all below `count`. */
  experts: Tensor;
  /** How many experts there are. */
  count: number;
  /** The choices sorted by {@link sortChoices}; undefined where so few of them are computed one by one. */
  sorted: Tensor | undefined;
}

/** Up to this many tokens each choice reads its expert's matrix by itself, as when text is generated. */
const FEW_TOKENS = 4;

/**
 * The choices of tokens, ready for products: sorted, unless they are few.
 * @param experts u32 `[T, K]`, all below `count`
 * @param sorts whether they are sorted, however few they are
 */
export function groupChoices(experts: Tensor, count: number, sorts = experts.rows > FEW_TOKENS): Grouping {
  return { experts, count, sorted: sorts ? sortChoices(experts, count) : undefined };
}

/** Options of {@link groupedMatmul}. */
export interface GroupedOptions {
  /** `NT`: experts' matrices are `[n, k]`, as in y = x Wᵀ; `NN`: `[k, n]`. */
  layout: "NT" | "NN";
  /** `[E, n]` f32, added to the rows of each expert. */
  bias?: Tensor | undefined;
  /** Most bytes of the weight in one binding; tests lower it. */
  windowBytes?: number;
  /** Takes the kernels that run everywhere even where others are faster; for tests and comparisons. */
  portable?: boolean;
}

/**
 * C[r] = A[⌊r / p⌋] op(B_e) + bias_e for each choice r of an expert e: the products of all experts in one dispatch, whose size
 * does not depend on which experts are chosen. Gale et al. 2022, arXiv 2211.15841.
 * @param a `[N / p, k]` f32: one row for each choice (p = 1), or for all choices of a token (p = K)
 * @param b `[E · n, k]` (NT) or `[E · k, n]` (NN), of any format; n and k are multiples of four
 * @returns `[N, n]`
 */
export function groupedMatmul(a: Tensor, b: Weight, grouping: Grouping, options: GroupedOptions): Tensor {
  const { device } = a;
  const { layout, bias, windowBytes = device.bindingLimit, portable: isPortable = false } = options;
  const { experts, count, sorted } = grouping;
  const k = a.columns;
  const n = layout === "NT" ? b.rows / count : b.columns;
  const choices = experts.size;
  checkShapes(a, b, grouping, { ...options, n });
  const c = empty(device, [choices, n]);
  if (Math.max(a.byteLength, c.byteLength) > device.bindingLimit)
    fail(
      "groupedMatmul",
      `[${choices}, ${n}] exceeds what the device binds`,
      "take smaller batches or shorter texts",
    );
  const usesSubgroups = hasOuterProducts(device) && !device.profile.sharesWork && !isPortable;
  const { subgroupSize: SG } = device.info;
  const columns = usesSubgroups ? 4 * SG : sorted ? 64 : 64 / LANES;
  const constants = constantsOf(weightDecoding(b), layout, bias !== undefined, usesSubgroups ? SG : 0);
  for (const { first, last, weight } of expertWindows(b, count, windowBytes)) {
    device.run(usesSubgroups ? subgroup : portable, sorted ? "forward" : "few", {
      bind: {
        ...{ a, b: weight.words, b_packed: weight.words, c, sorted: sorted ?? experts, bias: bias ?? a },
        ...scaleBindings(weight),
      },
      params: {
        ...{ n, k, choices, per: choices / a.rows, experts: count, first, last },
        b_first: firstValue(weight),
      },
      constants,
      grid: [Math.ceil(n / columns), sorted ? mostTiles(choices, count, usesSubgroups ? 32 : 64) : choices],
    });
  }
  return c;
}

/** Invocations that share a column where a device shares work among them. */
const LANES = 16;

const known = new Map<string, Specialization>();

/** The same frozen object for the same values, which the pipeline cache recognises by identity. */
function constantsOf(decoding: Decoding, layout: "NT" | "NN", BIASED: boolean, SG: number): Specialization {
  const key = `${decoding.id} ${layout} ${BIASED} ${SG}`;
  const found = known.get(key);
  if (found) return found;
  const { constants: own, packed } = decoding;
  const lanes: Specialization = SG > 0 ? { SG } : { LANES };
  const constants = Object.freeze({ ...own, ...lanes, packed, B_TRANSPOSED: layout === "NT", BIASED });
  known.set(key, constants);
  return constants;
}

/** Tiles of so many rows that choices fill at most, however they are spread over the experts. */
function mostTiles(choices: number, experts: number, rows: number): number {
  const used = Math.min(experts, choices);
  return used + Math.floor((choices - used) / rows);
}

/** Runs of experts whose matrices can be bound. */
function* expertWindows(b: Weight, count: number, limit: number) {
  if (b.byteLength <= limit) {
    yield { first: 0, last: count, weight: b };
    return;
  }
  const bytes = b.byteLength / count;
  const step = ALIGNMENT / greatestCommonDivisor(ALIGNMENT, bytes);
  const most = Math.floor(limit / bytes / step) * step;
  if (most === 0)
    fail("groupedMatmul", `${step} experts of ${bytes} bytes exceed the binding limit of ${limit} bytes`);
  const matrix = matrixOf(b);
  const rows = matrix.rows / count;
  for (let first = 0; first < count; first += most) {
    const last = Math.min(first + most, count);
    yield { first, last, weight: matrix.slice(first * rows, last * rows) };
  }
}

/** Binding offsets must be multiples of this on the portable floor (`minStorageBufferOffsetAlignment`), bytes. */
const ALIGNMENT = 256;

function matrixOf(b: Weight): Weight {
  return b.shape.length === 2 ? b : (b as Tensor).reshape([b.rows, b.columns]);
}

function checkShapes(
  a: Tensor,
  b: Weight,
  { experts, count, sorted }: Grouping,
  { layout, bias, n }: GroupedOptions & { n: number },
): void {
  const got = `A [${a.shape}], B [${b.shape}] of ${count} experts, ${experts.size} choices`;
  const k = layout === "NT" ? b.columns : b.rows / count;
  if (a.columns !== k || experts.size % a.rows !== 0 || !Number.isInteger(n))
    fail("groupedMatmul", `${layout}: ${got} do not fit`);
  if (n % 4 !== 0 || k % 4 !== 0)
    fail("groupedMatmul", `${got}: ${n} columns and ${k} steps`, "multiples of four");
  if (bias && bias.size !== count * n)
    fail("groupedMatmul", `bias is [${bias.shape}], expected [${count}, ${n}]`);
  if (!sorted && layout === "NN")
    fail("groupedMatmul", "NN needs sorted choices", "sort them by groupChoices");
}
