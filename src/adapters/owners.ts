import type { AdapterList, NamedAdaptation } from "../nn/adapter-list.ts";
import { type Module, requireLive } from "../nn/module.ts";
import type { Parameters } from "../nn/parameters.ts";
import { fail } from "../util/fail.ts";
import { checkOptions, objectOf, required } from "../util/options.ts";

/** What is asked of an adapter before it is used. */
interface Owner extends Pick<NamedAdaptation, "released"> {
  readonly base: { readonly root: Module; readonly name?: string };
}

/** An adapter, so far as it owns its trainable tensors. */
type TensorOwner = Owner & NamedAdaptation & { readonly method: { readonly type: string } };

/** Whose trainable tensors these are. */
const owners = new WeakMap<Parameters, TensorOwner>();

/** Notes whose trainable tensors these are. */
export function noteOwner(parameters: Parameters, adapter: TensorOwner): void {
  owners.set(parameters, adapter);
}

/** The `peft_type` of the adapter whose trainable tensors these are; undefined where they are no adapter's. */
export function typeOfOwner(parameters: Parameters): string | undefined {
  return owners.get(parameters)?.method.type;
}

const ADAPTER = required(
  objectOf("an adapter, as attach gives it", (adapter) => "method" in adapter && "parameters" in adapter),
);
const PARAMETERS = required(
  objectOf("trainable tensors, as adapter.parameters", (given) => "flat" in given && "entries" in given),
);

/** @throws LoraError where what is given is no adapter, or one whose memory was freed */
export function requireAdapter(where: string, adapter: Pick<Owner, "released">): void {
  checkOptions(where, { adapter }, { adapter: ADAPTER });
  if (adapter.released) fail(where, "the adapter was released", "attach or load a new one");
}

/** @throws LoraError where an adapter is on another model than the one with these modules, or either was released */
export function requireAdapterOf(where: string, adapter: Owner, root: Module): void {
  requireLive(where, root);
  requireAdapter(where, adapter);
  const { root: own, name = "another model" } = adapter.base;
  if (own !== root) fail(where, `the adapter is on another model (${name})`, "give one of this model");
}

/** What a run trains in: the modules, and the adapters that its passes go through. */
export interface TrainedModel {
  /** The model's modules; absent where there are none to compare. */
  readonly root?: Module | undefined;
  /** The adapters that its passes go through. */
  readonly adapters?: AdapterList | undefined;
}

/**
 * Checks that trainable tensors can be trained in a model: they are no adapter's at all, or those of one that its passes
 * go through.
 * @throws LoraError where they are none, or the adapter is off, was released, or is on another model
 */
export function requireTrainable(
  where: string,
  parameters: Parameters,
  { root, adapters }: TrainedModel,
): void {
  checkOptions(where, { parameters }, { parameters: PARAMETERS });
  const adapter = owners.get(parameters);
  if (!adapter) return;
  requireAdapterOf(where, adapter, root ?? adapter.base.root);
  const help = "put it on: adapter.enable(true), or give model.withAdapters([adapter])";
  if (adapters?.has(adapter) === false) {
    fail(where, "the adapter is off, so the model would not learn", help);
  }
}
