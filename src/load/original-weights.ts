import type { OriginalWeight } from "../adapters/method.ts";
import { openCheckpoint } from "../io/formats/checkpoint.ts";
import { readQuantised } from "../io/formats/quantised/read-quantised.ts";
import { fail } from "../util/fail.ts";
import { transpose } from "../util/transpose.ts";
import { layOutModel } from "./layout.ts";
import { decode } from "./merged-values.ts";
import type { LoadedModel } from "./model.ts";

const PLAIN_START = "take a start that needs no weights: init_lora_weights true or gaussian";

/**
 * Reads layers' weights from the checkpoint that a model was loaded from, as they were before they were quantised; for
 * `startLora`. Each is read when it is asked for.
 */
export function originalWeights(model: LoadedModel): OriginalWeight {
  const { files, device, task, layerReplication } = model;
  const open = async () => {
    if (layerReplication)
      return fail(
        model.name,
        "its layers are stacked anew (layer_replication), and a start from the stored weights is not known for these",
        PLAIN_START,
      );
    if (!files)
      return fail(model.name, "the files that it was loaded from are not known", "load it by loadModel");
    const checkpoint = await readQuantised(await openCheckpoint(files));
    const { tensors } = await layOutModel(device, checkpoint, checkpoint.config, task);
    return { read: checkpoint.read, tensors };
  };
  let opened: ReturnType<typeof open> | undefined;
  return async ({ path, fanInFanOut, inFeatures, outFeatures }) => {
    opened ??= open();
    const { read, tensors } = await opened;
    const name = `${path}.weight`;
    const stored = tensors.get(name);
    if (
      !stored ||
      stored.shape.join() !== (fanInFanOut ? [inFeatures, outFeatures] : [outFeatures, inFeatures]).join()
    ) {
      return fail(model.name, `the checkpoint holds no ${name} by itself`, PLAIN_START);
    }
    if (stored.packed)
      return fail(
        model.name,
        `${name} is quantised in the checkpoint itself (${stored.packed.type}): its values before that are not known`,
        `${PLAIN_START}; or give the unquantised model, with --quantization`,
      );
    const values = decode(await read(stored), stored);
    return fanInFanOut ? transpose(values, inFeatures, outFeatures) : values;
  };
}
