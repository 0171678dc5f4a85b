import type { Device } from "../gpu/device.ts";
import { elementCount, empty, Tensor } from "../gpu/tensor.ts";
import { zeros } from "../kernels/elementwise.ts";
import type { Mirror } from "./mirror.ts";

/** A trainable tensor by its name in the saved file. */
export interface Parameter {
  /** Path of its module and its own name. */
  name: string;
  /** Its place in the buffer of all. */
  tensor: Tensor;
}

/**
 * Trainable tensors that lie one after another in a single buffer, so that one dispatch can update them all.
 * The gaps between them are zero and stay so.
 */
export interface Parameters {
  /** `[n]` f32: everything. */
  readonly flat: Tensor;
  /** Each tensor. */
  readonly entries: readonly Parameter[];
  /** Matrices that consist of the rows of several entries. */
  readonly stacks: readonly Tensor[];
  /** Why they must not be trained, and what to do about it; absent where they may. */
  readonly locked?: { readonly why: string; readonly help: string };
  /** A term of the loss that depends on them alone; absent where there is none. */
  readonly penalty?: Penalty;
  /** What has to be recorded right behind the update of every optimiser step. */
  readonly afterStep?: (step: FinishedStep) => void;
  /** What that keeps from step to step, by name: a run's checkpoints have it. */
  readonly kept?: Readonly<Record<string, Tensor>>;
  /** `[m]` f32: what lies beside them and is never changed. A run copies it to the host once. */
  readonly still?: Tensor;
  /** How often they were updated, if ever: what was computed with them before is out of date then. */
  updates?: number;
  /** Their copy on the host, kept by the run that trains or has trained them. */
  mirror?: Mirror;
}

/**
 * Gives weight · a term of the loss, `[1]`, and adds the gradient of that to the parameters' gradients.
 * @param gradients by the parameter; none are computed where they are absent
 */
export type Penalty = (weight: number, gradients?: ReadonlyMap<Tensor, Tensor>) => Tensor;

/** An optimiser step whose update has been recorded. */
export interface FinishedStep {
  /** From 1. */
  readonly step: number;
  /** Steps of the whole run. */
  readonly totalSteps: number;
  /** The gradients of the summed loss that it used, by the parameter. */
  readonly gradients: ReadonlyMap<Tensor, Tensor>;
  /** `[2]`: the norm of the mean's gradient, and the factor that the sum's was multiplied by; 0 where nothing was updated. */
  readonly outcome: Tensor;
}

const ALIGNMENT = 64; // elements: 256 bytes, the binding offset alignment of the portable floor

/** A tensor's name and shape. */
export interface Wanted {
  name: string;
  shape: readonly number[];
}

/** Whether matrices can lie one right after another, as the rows of one, each where a binding can begin. */
export function isStackable(shapes: readonly (readonly number[])[]): boolean {
  const columns = shapes[0]?.at(-1);
  return shapes.every(
    (shape, i) =>
      shape.at(-1) === columns && (i === shapes.length - 1 || elementCount(shape) % ALIGNMENT === 0),
  );
}

/**
 * Reserves one zeroed buffer for tensors of the given names and shapes; it lives until it is released.
 * @param stacked names of tensors that form one matrix together; see {@link isStackable}
 */
export function allocateParameters(
  device: Device,
  wanted: readonly Wanted[],
  stacked: readonly (readonly string[])[] = [],
): Parameters {
  const { offsets, total } = placeTensors(wanted, stacked);
  const flat = device.memory.persistent(() => zeros(device, [total]));
  const view = (shape: readonly number[], offset: number) =>
    new Tensor(device, flat.storage, shape, "f32", offset * 4);
  const entries = wanted.map(({ name, shape }) => ({
    name,
    tensor: view(shape, offsets.get(name) as number),
  }));
  const shapes = new Map(wanted.map(({ name, shape }) => [name, shape]));
  const stacks = stacked.map((names) => {
    const rows = names.reduce((sum, name) => sum + (shapes.get(name)?.[0] ?? 0), 0);
    const [first = ""] = names;
    return view([rows, shapes.get(first)?.at(-1) ?? 0], offsets.get(first) as number);
  });
  return { flat, entries, stacks };
}

/** What gradients are computed for: entries and stacks, which share memory. */
export function leavesOf({ entries, stacks }: Parameters): Tensor[] {
  return [...entries.map(({ tensor }) => tensor), ...stacks];
}

/** Elements that tensors of these shapes take where they lie one after another in the buffer of all. */
export function placedSize(shapes: readonly (readonly number[])[]): number {
  return placeTensors(
    shapes.map((shape, i) => ({ name: String(i), shape })),
    [],
  ).total;
}

/** Where each tensor begins, in elements: in the order in which they are given, a stack where its first one is. */
function placeTensors(
  wanted: readonly Wanted[],
  stacked: readonly (readonly string[])[],
): { offsets: Map<string, number>; total: number } {
  const sizes = new Map(wanted.map(({ name, shape }) => [name, elementCount(shape)]));
  const stackOf = new Map(stacked.flatMap((names) => names.map((name) => [name, names] as const)));
  const offsets = new Map<string, number>();
  let total = 0;
  for (const { name } of wanted.filter(({ name }) => (stackOf.get(name) ?? [name])[0] === name)) {
    for (const next of stackOf.get(name) ?? [name]) {
      offsets.set(next, total);
      total += Math.ceil((sizes.get(next) as number) / ALIGNMENT) * ALIGNMENT;
    }
  }
  return { offsets, total };
}

/** A second buffer of the same layout, zeroed (gradients): the flat tensor, and views keyed by the leaf. */
export function allocateLike(parameters: Parameters): { flat: Tensor; views: Map<Tensor, Tensor> } {
  const { flat } = parameters;
  const { device } = flat;
  const twin = device.memory.persistent(() => zeros(device, flat.shape));
  const views = leavesOf(parameters).map(
    (leaf) => [leaf, new Tensor(device, twin.storage, leaf.shape, "f32", leaf.byteOffset)] as const,
  );
  return { flat: twin, views: new Map(views) };
}

/** All parameters on the host, with one read; where the device is lost, as training has {@link Mirror | mirrored} them. */
export async function readParameters({
  flat,
  entries,
  mirror,
}: Parameters): Promise<Map<string, Float32Array>> {
  return byName(await (mirror ?? flat).read(), entries);
}

/**
 * What lies beside parameters in a buffer of its own, whether it changes ({@link Parameters.kept}) or not
 * ({@link Parameters.still}); where the device is lost, as training has mirrored it.
 */
export async function readBeside(
  { mirror }: Parameters,
  { flat, entries }: Parameters,
): Promise<Map<string, Float32Array>> {
  return byName(await (mirror ? mirror.readBeside(flat) : flat.read()), entries);
}

function byName(all: Float32Array, entries: readonly Parameter[]): Map<string, Float32Array> {
  return new Map(
    entries.map(({ name, tensor }) => {
      const start = tensor.byteOffset / 4;
      return [name, all.slice(start, start + tensor.size)];
    }),
  );
}

/** An uninitialised tensor outside every scope. */
export function persistent(device: Device, shape: readonly number[]): Tensor {
  return device.memory.persistent(() => empty(device, shape));
}
