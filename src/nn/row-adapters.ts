import * as ops from "../autograd/ops.ts";
import { fromArray, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { AdapterList, type NamedAdaptation } from "./adapter-list.ts";
import { type PassTokens, tokensOfRows } from "./invocation.ts";
import type { Adaptation, Context, Forward, Leaf, Module, Wrap } from "./module.ts";

/** Rows of a batch that go through the same adapters. */
interface Group {
  readonly list: AdapterList;
  readonly rows: readonly number[];
}

/** A group in a pass: what its adapters do, and which of the batch's tokens are its own. */
interface ActiveGroup {
  readonly adaptation: Adaptation;
  /** Places of its tokens among all, for so many tokens in a row. */
  tokens(perRow: number): Tensor;
}

/**
 * Adapters that differ from row to row of a batch. Each module runs once for all rows; where an adapter surrounds it, the
 * rows are gathered by their adapters, go through them, and are put back in their places. A module is computed again, for
 * its rows only, by adapters that change its input or its tensors. Any method will do, ranks and targets may differ, and
 * the gradients of a tensor come from its own rows.
 *
 * What S-LoRA (Sheng et al. 2023, arXiv 2311.03285) and Punica (Chen et al. 2023, arXiv 2310.18547) compute by a kernel that
 * finds A and B by an index takes a few small kernels for each group here: the cost grows with the number of different
 * adapters in a batch, not with that of its rows.
 */
export class RowAdapters extends AdapterList {
  readonly #batchSize: number;
  readonly #groups: readonly Group[];

  /**
   * @param rows the adapters of each row, nearest the modules first; a row may have none
   * @throws LoraError for no rows, and where two of a row's adapters are of one name or train the same tensor whole
   */
  constructor(rows: readonly (readonly NamedAdaptation[])[]) {
    super();
    if (rows.length === 0)
      fail("withRowAdapters", "there are no rows", "give a list of adapters for each row");
    const longer = rows.flat().find(({ virtual }) => virtual);
    if (longer) {
      const got = `${longer.name} puts virtual tokens before texts, and the rows of a batch are of one length`;
      fail("withRowAdapters", got, "give it a batch of its own: withAdapters");
    }
    const groups: { list: AdapterList; rows: number[] }[] = [];
    for (const [row, adapters] of rows.entries()) {
      const known = groups.find(({ list }) => areSame(list.all, adapters));
      if (known) known.rows.push(row);
      else groups.push({ list: new AdapterList(adapters), rows: [row] });
    }
    this.#groups = groups;
    this.#batchSize = rows.length;
  }

  /** All that some row goes through, each once. */
  override get all(): readonly NamedAdaptation[] {
    return [...new Set(this.#groups.flatMap(({ list }) => list.all))];
  }

  override get choosesTokens(): boolean {
    return true;
  }

  /** There is nothing that all rows go through. @throws LoraError */
  override get active(): Adaptation {
    const got = "adapters are chosen row by row, and this pass does not know its rows";
    return fail("withRowAdapters", got, "choose adapters for the whole batch: withAdapters");
  }

  /** @throws LoraError where an adapter was released, and where the batch has another number of rows */
  override activeFor(x: Tensor, pass?: PassTokens): Adaptation {
    const [batchSize = 0, length = 1] = x.shape;
    const perRow = x.dtype === "f32" && x.shape.length === 2 ? 1 : length;
    if (batchSize !== this.#batchSize) {
      const got = `the batch has ${batchSize} rows, and adapters are chosen for ${this.#batchSize}`;
      fail("withRowAdapters", got, "give a list of adapters for each row; [] is the base model");
    }
    const [only] = this.#groups;
    if (only && this.#groups.length === 1) return only.list.activeFor(x, pass);
    return byRows(
      this.#groups.map((group) => activate(group, x, perRow, pass)),
      batchSize,
    );
  }

  override add(): void {
    fail("attach", "this model's adapters are chosen row by row", "attach to the model that it comes from");
  }

  /** Nothing stays here by itself: an adapter that is released is noticed by the next pass. */
  override remove(): void {}
}

function areSame(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((item, i) => item === b[i]);
}

/** @param perRow tokens in a row, as most modules will ask for them: uploaded once for all */
function activate(
  { list, rows }: Group,
  x: Tensor,
  perRow: number,
  pass: PassTokens | undefined,
): ActiveGroup {
  const upload = (perRow: number) => {
    const places = rows.flatMap((row) => Array.from({ length: perRow }, (_, i) => row * perRow + i));
    return fromArray(x.device, Uint32Array.from(places), [places.length]);
  };
  const usual = upload(perRow);
  const adaptation = list.activeFor(x, pass && tokensOfRows(pass, rows));
  return { adaptation, tokens: (wanted) => (wanted === perRow ? usual : upload(wanted)) };
}

function byRows(groups: readonly ActiveGroup[], batchSize: number): Adaptation {
  const adapted = new Set<Module>(
    groups.flatMap(({ adaptation: { wraps, copies } }) => [...wraps.keys(), ...copies.keys()]),
  );
  const wrap = groupedWrap(groups, batchSize);
  return {
    wraps: new Map([...adapted].map((module) => [module, wrap])),
    joint: new Map(),
    copies: new Map(),
    byRows: true,
  };
}

/** Around a module: the rows of each group through the group's adapters. */
function groupedWrap(groups: readonly ActiveGroup[], batchSize: number): Wrap {
  return (x, context, next, site) => {
    checkRows(x, batchSize, site);
    const whole = once(() => next(x, context));
    const parts = groups.map((group) => ofGroup({ x, context, next, site, whole, batchSize }, group));
    const rows = parts.reduce((sum, { x }) => sum + x.rows, 0);
    const y = ops.joinRows(context.tape, parts, rows);
    return y.reshape([...(isStates(x) ? x.shape.slice(0, -1) : [batchSize, rows / batchSize]), y.columns]);
  };
}

interface Place {
  readonly x: Tensor;
  readonly context: Context;
  readonly next: Forward;
  readonly site: Module;
  /** The module without adapters of its own, for all rows. */
  readonly whole: () => Tensor;
  readonly batchSize: number;
}

/** What a module and a group's adapters make of the group's tokens, `[M, out]`, and which those are. */
function ofGroup({ x, context, next, site, whole, batchSize }: Place, group: ActiveGroup) {
  const { adaptation, tokens } = group;
  const { tape } = context;
  const pick = (y: Tensor) => {
    const index = tokens(y.rows / batchSize);
    return { x: ops.gatherRows(tape, y, index), index };
  };
  const wrap = adaptation.wraps.get(site);
  const hasCopies = adaptation.copies.has(site as Leaf);
  if (!wrap && !hasCopies) return pick(whole());
  // Ids and pixels are no states of tokens that could be picked: what is made of them is.
  const input = isStates(x) ? pick(x).x : x;
  const inner: Forward = (z, context) => {
    if (z !== input || hasCopies) return next(z, context);
    return z === x ? whole() : pick(whole()).x;
  };
  const own = contextOfGroup(context, adaptation, site);
  const y = wrap ? wrap(input, own, inner, site) : inner(input, own);
  return input === x ? pick(y) : { x: y, index: tokens(x.rows / batchSize) };
}

/** Whether a tensor is `[B, T, d]` or `[B, d]`. */
const isStates = ({ dtype, shape }: Tensor) => dtype === "f32" && shape.length <= 3;

/** A group's rows alone have no place in the batch, which is what attention asks for. */
function contextOfGroup(context: Context, adaptation: Adaptation, { path }: Module): Context {
  return {
    ...context,
    adapters: adaptation,
    get geometry(): Context["geometry"] {
      const got = `${path}: an adapter there asks where its tokens stand in the whole batch`;
      return fail("withRowAdapters", got, "such adapters go through a batch of their own: withAdapters");
    },
  };
}

/** @throws LoraError where rows cannot be told apart */
function checkRows({ shape }: Tensor, batchSize: number, { path }: Module): void {
  if (shape[0] === batchSize) return;
  const got = `${path} sees [${shape}], in which the ${batchSize} rows of the batch cannot be told apart`;
  fail("withRowAdapters", got, "leave the adapter of this module to batches of its own: withAdapters");
}

function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
