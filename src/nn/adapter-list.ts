import { fromArray, type Tensor } from "../gpu/tensor.ts";
import type { Weight } from "../kernels/weight.ts";
import { fail } from "../util/fail.ts";
import { type Invocation, invokedTokens, type PassTokens, treatedAlike } from "./invocation.ts";
import type { Adaptation, Forward, Leaf, Module, Siblings, Wrap } from "./module.ts";
import type { Parameters } from "./parameters.ts";
import type { VirtualTokens } from "./virtual.ts";

/** An adapter as a model knows it: what it does in a pass, and whether it still can. */
export interface NamedAdaptation extends Adaptation {
  /** What it is called, in messages and among the adapters of a model. */
  readonly name: string;
  /** Its memory has been freed. */
  readonly released: boolean;
  /** Its trainable tensors. */
  readonly parameters?: Parameters;
  /** What wakes it up, where it acts on some tokens of a pass only. */
  readonly invocation?: Invocation | undefined;
}

/**
 * The adapters that a model's passes go through, in order: the first is nearest the module, each later one sees what
 * those before it give. Deltas of LoRA add up so, as those of PEFT's active adapters do.
 */
export class AdapterList {
  #all: readonly NamedAdaptation[] = [];
  /** What they do together: settled when the list changes, so that a pass only looks it up. */
  #together: Adaptation = NOTHING;

  /** @throws LoraError where two are of one name, or train the same tensor whole */
  constructor(adapters: readonly NamedAdaptation[] = []) {
    this.#set(adapters);
  }

  /** The adapters, nearest the modules first. */
  get all(): readonly NamedAdaptation[] {
    return this.#all;
  }

  /** What the adapters of a pass do. @throws LoraError where one of them was released */
  get active(): Adaptation {
    const gone = this.#all.find(({ released }) => released);
    if (gone) fail("adapter", `${gone.name} was released`, "leave it out, or attach a new one");
    return this.#together;
  }

  /**
   * What the adapters of the pass of this input do.
   * @param tokens of the pass, where it is one over tokens: adapters that wait for some look for them there
   * @throws LoraError as {@link active} does
   */
  activeFor(x: Tensor, tokens?: PassTokens): Adaptation {
    const { active } = this;
    if (!tokens || !this.#all.some(({ invocation }) => invocation)) return active;
    return compose(this.#all.map((adapter) => awake(adapter, x, tokens)));
  }

  /** How many of the first tokens of a text its adapters treat alike in another text, with which it begins. */
  treatedAlike(texts: readonly [readonly number[], readonly number[]], length: number): number {
    return this.#all.reduce(
      (least, { invocation }) => (invocation ? treatedAlike(invocation.sequence, texts, least) : least),
      length,
    );
  }

  /** Whether what they do depends on the tokens of a pass, or on their rows: {@link activeFor} tells for each pass anew. */
  get choosesTokens(): boolean {
    return this.#all.some(({ invocation }) => invocation);
  }

  /** Positions that the adapters' virtual tokens take before every text. */
  get virtualTokens(): number {
    return this.#together.virtual?.count ?? 0;
  }

  /** Whether passes go through this adapter. */
  has(adapter: NamedAdaptation): boolean {
    return this.all.includes(adapter);
  }

  /** Puts an adapter behind the others. @throws LoraError as the constructor does */
  add(adapter: NamedAdaptation): void {
    if (!this.has(adapter)) this.#set([...this.#all, adapter]);
  }

  /** Takes an adapter off; the others stay. */
  remove(adapter: NamedAdaptation): void {
    this.#set(this.#all.filter((other) => other !== adapter));
  }

  #set(adapters: readonly NamedAdaptation[]): void {
    checkNames(adapters);
    this.#together = compose(adapters);
    this.#all = adapters;
  }
}

/** An adapter that waits for a sequence, as it acts on these tokens. */
function awake(adapter: NamedAdaptation, { device }: Tensor, tokens: PassTokens): NamedAdaptation {
  const { invocation, name } = adapter;
  if (!invocation) return adapter;
  const found = invokedTokens(tokens, invocation.sequence);
  if (!found) {
    const got = `${name} acts from certain tokens on, and the pass does not know which its tokens are`;
    return fail(
      "adapter",
      got,
      "give them: context.geometry of placeTokens, with texts (wholeRows has them)",
    );
  }
  const acting = found.length > 0 ? fromArray(device, found, [found.length]) : undefined;
  return { ...adapter, ...invocation.acting(acting) };
}

const NOTHING: Adaptation = { wraps: new Map(), joint: new Map(), copies: new Map() };

function checkNames(adapters: readonly NamedAdaptation[]): void {
  const twice = adapters.find(({ name }, i) => adapters.some((other, j) => j < i && other.name === name));
  if (!twice) return;
  const help = "give each a name of its own, or take the other off first";
  fail("adapter", `${JSON.stringify(twice.name)} is the name of two adapters`, help);
}

/** What adapters do one around the other. */
function compose(adapters: readonly NamedAdaptation[]): Adaptation {
  if (adapters.length <= 1) return adapters[0] ?? NOTHING;
  const wraps = new Map<Module, Wrap[]>();
  for (const adapter of adapters) {
    for (const [module, wrap] of adapter.wraps) wraps.set(module, [...(wraps.get(module) ?? []), wrap]);
  }
  return {
    wraps: new Map([...wraps].map(([module, all]) => [module, nested(all)])),
    joint: new Map(
      adapters.flatMap(({ joint }) => [...joint].filter(([siblings]) => isAlone(siblings, wraps))),
    ),
    copies: joinCopies(adapters),
    virtual: onlyVirtual(adapters),
  };
}

/** The later wraps around the earlier ones. */
function nested(wraps: readonly Wrap[]): Wrap {
  const [only] = wraps;
  if (only && wraps.length === 1) return only;
  return (x, context, next, site) =>
    wraps.reduce<Forward>((inner, wrap) => (x, context) => wrap(x, context, inner, site), next)(x, context);
}

/** Whether no member has a second adapter, so that what computes them together is all there is. */
function isAlone({ members }: Siblings, wraps: ReadonlyMap<Module, readonly Wrap[]>): boolean {
  return members.every((member) => (wraps.get(member)?.length ?? 0) <= 1);
}

/** The virtual tokens of the only adapter that has some. */
function onlyVirtual(adapters: readonly NamedAdaptation[]): VirtualTokens | undefined {
  const [first, second] = adapters.filter(({ virtual }) => virtual);
  const waiting = first && adapters.find(({ invocation }) => invocation);
  if (waiting) {
    const got = `${first.name} puts virtual tokens before texts, and ${waiting.name} looks for tokens in them`;
    fail("adapter", got, "leave one of the two out");
  }
  if (!second) return first?.virtual;
  const got = `${first?.name} and ${second.name} both have virtual tokens`;
  return fail("adapter", got, "PEFT knows no order of them either: leave one of the two out");
}

function joinCopies(adapters: readonly NamedAdaptation[]): Map<Leaf, Readonly<Record<string, Weight>>> {
  const joined = new Map<Leaf, Readonly<Record<string, Weight>>>();
  for (const { copies, name } of adapters) {
    for (const [leaf, tensors] of copies) {
      const before = joined.get(leaf) ?? {};
      const twice = Object.keys(tensors).find((tensor) => Object.hasOwn(before, tensor));
      if (twice !== undefined) {
        const got = `${leaf.path}.${twice} is replaced by ${name} and by another adapter of the list`;
        fail("adapter", got, "a tensor has one copy in its place at a time: leave one of them out");
      }
      joined.set(leaf, { ...before, ...tensors });
    }
  }
  return joined;
}
