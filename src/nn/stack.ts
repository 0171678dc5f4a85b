import { call, type Module, runLayer } from "./module.ts";

/** Layers one after the other, then what follows them once (a norm, mostly). */
export function stack(path: string, layers: readonly Module[], after: readonly Module[] = []): Module {
  return {
    path,
    children: [...layers, ...after],
    forward(x, context) {
      for (const layer of layers) x = runLayer(layer, x, context);
      return after.reduce((y, module) => call(module, y, context), x);
    },
  };
}
