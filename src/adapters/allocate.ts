import { scoped, Tensor } from "../gpu/tensor.ts";
import { castToFloat } from "../kernels/cast.ts";
import { type Leaf, type Module, modules, type Siblings } from "../nn/module.ts";
import { allocateParameters, isStackable, type Parameters } from "../nn/parameters.ts";
import { createRandom, type Random } from "../util/random.ts";
import type {
  Adaptable,
  AdapterTensors,
  Method,
  Site,
  SiteTensors,
  TensorPlan,
  TrainedTensors,
} from "./method.ts";

/** Sites that a method computes together, among the siblings that they are. */
export interface Group {
  readonly siblings: Siblings;
  readonly members: readonly Module[];
}

/** The tensors of an adapter, at their first values. */
export interface AllocatedTensors extends AdapterTensors {
  readonly saved: readonly Site<Leaf>[];
  readonly parameters: Parameters;
  readonly frozen: Parameters | undefined;
  /** Where sites are computed together; `parameters.stacks` has the stacked tensor of each. */
  readonly groups: readonly Group[];
}

/** A planned tensor by its name among all: path of its module and its own name. */
interface Planned extends TensorPlan {
  readonly name: string;
}

/** Reserves what a method wants on a model, and fills it. @throws LoraError as the method does */
export function allocateTensors(model: Adaptable, method: Method, seed: number): AllocatedTensors {
  const targets = method.sites(model).map((module) => ({ module, plans: method.tensors(module) }));
  const shared = method.shared?.(model) ?? {};
  const copied = method.saved?.(model) ?? [];
  const planned: Planned[] = [
    ...targets.flatMap(({ module, plans }) => named(`${module.path}.`, plans)),
    ...named("", shared),
    ...copied.flatMap((one) => named(`${one.module.path}.`, copyPlans(one))),
  ];
  const groups = findGroups(model, method, targets);
  const stacked = groups.map(({ members }) =>
    members.map(({ path }) => `${path}.${method.together?.stacked}`),
  );
  const isTrained = ({ trained = true }: TensorPlan) => trained;
  const parameters = allocateParameters(model.device, planned.filter(isTrained), stacked);
  const still = planned.filter((plan) => !isTrained(plan));
  const frozen = still.length > 0 ? allocateParameters(model.device, still) : undefined;
  const entries = [...parameters.entries, ...(frozen?.entries ?? [])];
  const all = new Map(entries.map(({ name, tensor }) => [name, tensor]));
  fill(planned, all, createRandom(seed));
  const pick = (prefix: string, names: readonly string[]): SiteTensors =>
    Object.fromEntries(names.map((name) => [name, all.get(prefix + name) as Tensor]));
  return {
    sites: targets.map(({ module, plans }) => ({
      module,
      tensors: pick(`${module.path}.`, Object.keys(plans)),
    })),
    shared: pick("", Object.keys(shared)),
    saved: copied.map(({ module, names, shares = {} }) => ({
      module,
      tensors: Object.assign({}, ...names.map((name) => pick(`${(shares[name] ?? module).path}.`, [name]))),
    })),
    parameters,
    frozen,
    groups,
  };
}

function named(prefix: string, plans: Readonly<Record<string, TensorPlan>>): Planned[] {
  return Object.entries(plans).map(([name, plan]) => ({ ...plan, name: prefix + name }));
}

/** Trained copies begin at the base model's values. */
function copyPlans({
  module: { tensors },
  names,
  shares = {},
  trained = true,
}: TrainedTensors): Record<string, TensorPlan> {
  const owned = names.filter((name) => !shares[name]);
  return Object.fromEntries(
    owned.map((name) => {
      const own = tensors[name] as Tensor;
      return [name, { shape: own.shape, trained, begin: () => castToFloat(own) }];
    }),
  );
}

interface Target {
  readonly module: Module;
  readonly plans: Readonly<Record<string, TensorPlan>>;
}

function findGroups(model: Adaptable, { together }: Method, targets: readonly Target[]): Group[] {
  if (!together) return [];
  const plansOf = new Map(targets.map(({ module, plans }) => [module, plans]));
  const groups = [...modules(model.root)].flatMap(({ siblings }): Group[] =>
    siblings ? [{ siblings, members: siblings.members.filter((member) => plansOf.has(member)) }] : [],
  );
  return groups.filter(({ members }) => {
    const plans = members.map((member) => plansOf.get(member)?.[together.stacked]);
    const isWhole = plans.every((plan) => plan?.trained !== false);
    const shapes = plans.map((plan) => plan?.shape ?? []);
    return members.length > 1 && isWhole && isStackable(shapes) && together.accepts(members);
  });
}

function fill(planned: readonly Planned[], tensors: ReadonlyMap<string, Tensor>, random: Random): void {
  for (const { name, begin } of planned) {
    const tensor = tensors.get(name) as Tensor;
    if (!begin) continue; // the buffer is zeros
    scoped(tensor.device, () => {
      // Every tensor has its own stream, so that adding a target does not change the others' values.
      const values = begin(random.fork(name));
      if (values instanceof Tensor) tensor.copyFrom(values);
      else tensor.write(values);
      return undefined;
    });
  }
}
