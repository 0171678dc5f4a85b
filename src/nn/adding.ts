import type { Tensor } from "../gpu/tensor.ts";
import { panelProducts } from "../kernels/few-rows.ts";
import type { Context, Module } from "./module.ts";
import type { Norm } from "./norm.ts";

/** What a branch of the residual stream consists of behind its norm: attention or the MLP, where nothing comes after it. */
export interface Adding extends Module {
  /** x += f(norm(x)), where {@link addsInPlace}. */
  addTo(x: Tensor, norm: Norm, context: Context): void;
}

/** The function of a branch that adds to the stream, where it consists of a norm and such a module alone. */
export function addingBranch([norm, module, ...rest]: readonly Module[]) {
  const canAdd = norm && module && "ofSum" in norm && "addTo" in module && rest.length === 0;
  if (!canAdd) return undefined;
  return (x: Tensor, context: Context) => (module as Adding).addTo(x, norm as Norm, context);
}

/**
 * Whether branches add to the stream itself: as a text is continued, where no adapter surrounds a module and nobody looks on,
 * and the device then needs fewer dispatches.
 */
export function addsInPlace(x: Tensor, { cache, tape, watch, adapters }: Context): boolean {
  const isBare = cache !== undefined && !tape && !watch && !adapters?.wraps.size;
  return isBare && panelProducts(x) !== undefined;
}
