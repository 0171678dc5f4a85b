import { fromArray, readAndRelease, type Tensor } from "../../src/gpu/tensor.ts";
import { type LoadedModel, openTaskModel } from "../../src/load/model.ts";
import type { Task } from "../../src/models/model.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import {
  imageClassification,
  type LabelledImage,
  sequenceClassification,
  tokenClassification,
} from "../../src/train/classification.ts";
import { contrastive } from "../../src/train/contrastive.ts";
import { languageModelling } from "../../src/train/language-modelling.ts";
import { maskedLanguageModelling } from "../../src/train/masked-language-modelling.ts";
import type { Objective } from "../../src/train/objective.ts";
import { contextOf } from "./context.ts";
import { testDevice } from "./device.ts";
import type { JsonTensor } from "./fixtures.ts";

/** golden.json of test/fixtures/tasks; see make_tasks.py. */
export interface TaskGolden {
  task: Task;
  lengths: number[];
  input_ids: JsonTensor;
  labels: JsonTensor;
  loss: number;
  train: { learning_rate: number; loss: number[] };
  generate: { prompt: number[]; tokens: number[] };
}

/** Opens the model of a folder, whatever its task. */
export async function openTestTask(folder: string): Promise<LoadedModel> {
  return openTaskModel(folderFiles(folder), await testDevice());
}

/** An objective and the items that make.py gave to PyTorch; what an item is, only the objective knows. */
export interface TaskCase {
  objective: Objective<never>;
  items: readonly never[];
  /** What make.py stores as logits: only of real tokens. */
  logits(): Promise<Float32Array>;
}

/** The golden data as the model's task wants it. */
export function taskCase(
  model: LoadedModel,
  golden: TaskGolden,
  tensors: Map<string, Float32Array>,
): TaskCase {
  const rows = (golden.lengths ?? []).map((length, row) => cut(golden.input_ids, row, length));
  const labels = golden.labels.data;
  const perToken = () =>
    rows.map((inputIds, row) => ({ inputIds, labels: cut(golden.labels, row, inputIds.length) }));
  const all = () => {
    const [batch, length] = golden.input_ids.shape as [number, number];
    const ids = fromArray(model.device, Uint32Array.from(golden.input_ids.data), [batch, length]);
    return { ids, context: contextOf(ids, golden.lengths) };
  };
  const make = <Item>(
    objective: Objective<Item>,
    items: readonly Item[],
    logits: () => Tensor,
  ): TaskCase => ({
    objective: objective as Objective<never>,
    items: items as readonly never[],
    logits: async () => {
      let shape: readonly number[] = [];
      const [bytes] = await readAndRelease(model.device, () => {
        const tensor = logits();
        shape = tensor.shape;
        return [tensor];
      });
      return withoutPadding(new Float32Array(bytes as ArrayBuffer), golden, shape);
    },
  });
  switch (model.task) {
    case "causal-lm":
      return make(languageModelling(model), perToken(), () => {
        const { ids, context } = all();
        return model.logits(model.hidden(ids, context));
      });
    case "masked-lm":
      return make(maskedLanguageModelling(model), perToken(), () => {
        const { ids, context } = all();
        return model.logits(model.hidden(ids, context));
      });
    case "sequence-classification": {
      const items = rows.map((inputIds, row) => ({ inputIds, label: labels[row] as number }));
      return make(sequenceClassification(model), items, () => {
        const { ids, context } = all();
        return model.logits(ids, context);
      });
    }
    case "token-classification":
      return make(tokenClassification(model), perToken(), () => {
        const { ids, context } = all();
        return model.logits(ids, context);
      });
    case "sentence-embedding": {
      const pairs = [0, 1, 2].map((i) => ({ first: rows[i]!, second: rows[i + 3]! }));
      return make(contrastive(model), pairs, () => {
        const { ids, context } = all();
        return model.embed(ids, context);
      });
    }
    case "image-classification": {
      const { channels, height, width } = model.image;
      const size = channels * height * width;
      const pixels = tensors.get("pixels")!;
      const items: LabelledImage[] = labels.map((label, i) => ({
        pixels: () => pixels.slice(i * size, (i + 1) * size),
        label,
      }));
      return make(imageClassification(model), items, () =>
        model.logits(fromArray(model.device, pixels, [labels.length, channels, height, width]), {
          training: false,
          seed: 0,
        }),
      );
    }
  }
}

function cut({ data, shape }: JsonTensor, row: number, length: number): number[] {
  const width = shape[1] as number;
  return data.slice(row * width, row * width + length);
}

/** Rows of `[B, T, …]` that are no padding; other shapes as they are. */
function withoutPadding(
  values: Float32Array,
  { lengths, input_ids }: TaskGolden,
  shape: readonly number[],
): Float32Array {
  if (shape.length !== 3) return values;
  const [batch = 0, length = 0, columns = 0] = shape;
  if (batch !== input_ids.shape[0]) throw new Error("another batch");
  const kept = lengths.flatMap((n, row) => [
    ...values.subarray(row * length * columns, (row * length + n) * columns),
  ]);
  return Float32Array.from(kept);
}
