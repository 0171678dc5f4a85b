import { type DeviceFacts, openShapeDevice, type ShapeDevice } from "../gpu/shape-device.ts";
import { byteCount } from "../gpu/tensor.ts";
import { type FileSource, readObject, requireFiles } from "../io/files/files.ts";
import {
  type Checkpoint,
  type CheckpointTensor,
  hasTensors,
  openCheckpoint,
} from "../io/formats/checkpoint.ts";
import { withoutQuantisation } from "../io/formats/quantised/settings.ts";
import { loadShaders } from "../kernels/load-shaders.ts";
import type { Task } from "../models/model.ts";
import { openPlan } from "../models/open-plan.ts";
import { shapeWeights } from "../nn/initial-weights.ts";
import { storedShape } from "../nn/weights.ts";
import {
  type HeadChoice,
  type LoadedModel,
  type OpenOptions,
  openCheckpointModel,
  withLabels,
} from "./model.ts";

/** A model without weights, on a device that only counts. */
export interface ShapeModel<T extends Task = Task> extends ShapeDevice {
  readonly model: LoadedModel<T>;
  /** Its config, with the classes of the head. */
  readonly config: Checkpoint["config"];
}

/**
 * Opens a model as `openTaskModel` does, on a device that only counts: of the weights the headers are read. Where there are
 * no weights at all, config.json says their shapes and their precision.
 * @param like the device that it would run on
 * @throws LoraError as `openTaskModel` does
 */
export async function openShapeModel<T extends Task = Task>(
  files: FileSource,
  like: DeviceFacts,
  options: HeadChoice<T> & OpenOptions = {},
): Promise<ShapeModel<T>> {
  requireFiles("openShapeModel", files);
  const shape = openShapeDevice(like);
  await loadShaders(shape.device);
  shape.ledger.phase = "base";
  const checkpoint = (await hasTensors(files))
    ? await openCheckpoint(files)
    : await checkpointOfConfig(files, shape, options);
  const config = withLabels(withoutQuantisation(checkpoint.config), options.labels);
  const model = await openCheckpointModel(files, shape.device, checkpoint, options, { unread: true });
  return { ...shape, model, config };
}

interface Precision {
  readonly dtype: "f32" | "f16" | "bf16";
  readonly stored: "F32" | "F16" | "BF16";
}

const BF16: Precision = { dtype: "bf16", stored: "BF16" };
const PRECISIONS: ReadonlyMap<unknown, Precision> = new Map<string, Precision>([
  ["float32", { dtype: "f32", stored: "F32" }],
  ["float16", { dtype: "f16", stored: "F16" }],
]);

/** The checkpoint that a config describes: every tensor that its model asks for, in the precision that it names, bf16 where none. */
async function checkpointOfConfig(
  files: FileSource,
  { device }: ShapeDevice,
  { task, labels, onWarning, layerReplication }: HeadChoice<Task> & OpenOptions,
): Promise<Checkpoint> {
  const config = await readObject(files, "config.json");
  const { dtype, stored } = PRECISIONS.get(config.dtype ?? config.torch_dtype) ?? BF16;
  onWarning?.(`${files.label}: there are no weights: config.json says their shapes, in ${dtype}`);
  const { root, requests } = shapeWeights(device);
  (await openPlan(withLabels(config, labels), task, layerReplication)).build(device, root).release();
  const tensors = requests.map(({ name, shape, ...how }): [string, CheckpointTensor] => {
    const own = storedShape(shape, how);
    const end = byteCount(shape, dtype);
    return [name, { name, dtype: stored, shape: own, begin: 0, end, file: "config.json" }];
  });
  return {
    ...{ label: files.label, config, tensors: new Map(tensors), absent: new Map(), warnings: [] },
    read: () => Promise.reject(new Error("a shape has no content; this is a bug in the engine")),
  };
}
