import type { Adaptable, Method } from "../adapters/method.ts";
import { isAllLinear, layerIndex, targetNames } from "../adapters/sites/targets.ts";
import { isLinear } from "../nn/linear.ts";
import { modules } from "../nn/module.ts";
import { fail } from "../util/fail.ts";
import { kindNamed, methodOf } from "./method-table.ts";

/** Settings that choose layers by how many they are. */
interface LayerSettings extends Readonly<Record<string, unknown>> {
  readonly method: string;
  readonly num_layers: number | undefined;
}

/** Whether only some of the layers are adapted; -1 is all of them. */
const isNarrow = (count: number | undefined): count is number => count !== undefined && count > 0;

/** @throws LoraError where `num_layers` is given, and the method or other settings leave it without effect */
export function checkLastLayers(settings: LayerSettings): void {
  const { num_layers: count, method, layers_to_transform: layers, resume_adapter_file: adapter } = settings;
  if (!isNarrow(count)) return;
  if (adapter !== undefined)
    fail("num_layers", "the adapter that is resumed has its layers already", "leave it out");
  if (!Object.hasOwn(kindNamed(method).options, "layers_to_transform"))
    fail("num_layers", `${method} adapts no layers by their numbers`, "leave it out");
  if (Array.isArray(layers) && layers.length > 0)
    fail("num_layers", "layers_to_transform says already which layers are adapted", "give one of them");
}

/**
 * The method that settings ask for, for a model: `num_layers` are its last ones, as mlx-lm counts them.
 * @throws LoraError where the model has fewer
 */
export function methodFor({ root }: Pick<Adaptable, "root">, settings: LayerSettings): Method {
  const { num_layers: count, method } = settings;
  if (!isNarrow(count)) return methodOf(method, settings);
  const pattern = settings.layers_pattern as readonly string[] | undefined;
  const linear = [...modules(root)].filter(isLinear).map(({ path }) => path);
  const layers = [...new Set(linear.flatMap((path) => layerIndex(path, pattern) ?? []))].sort(
    (a, b) => a - b,
  );
  if (count > layers.length)
    fail(
      "num_layers",
      `is ${count}, and the model has ${layers.length} layers`,
      "give no more, or -1 for all",
    );
  const chosen = layers.slice(-count);
  const isChosen = (path: string) => chosen.includes(layerIndex(path, pattern) ?? -1);
  const { target_modules: targets } = settings;
  // PEFT has numbers beside names alone.
  const named = isAllLinear((targets ?? []) as string | string[]) && targetNames(linear.filter(isChosen));
  return methodOf(method, {
    ...settings,
    layers_to_transform: chosen,
    ...(named && { target_modules: named }),
  });
}
