import { isRowStream } from "../../data/files/is-row-stream.ts";
import { fitImage } from "../../data/images/fit-image.ts";
import { checkImageSize, imagePixels } from "../../data/images/images.ts";
import { labelOf } from "../../data/rows/fields.ts";
import { checkLabels, labelIndex } from "../../data/rows/labelled.ts";
import type { RowReader } from "../../data/rows/rows.ts";
import type { ImageConfig } from "../../io/formats/image-config.ts";
import { fail, failAll, LoraError, Problems } from "../../util/fail.ts";
import { isObject } from "../../util/json.ts";
import { imageClassification, type LabelledImage } from "../classification.ts";
import { evaluateClassifier } from "../evaluate-classifier.ts";
import { givenRows } from "./given-rows.ts";
import type { NamedRows } from "./named-rows.ts";
import type { TaskKind, TaskModel } from "./task-kind.ts";
import type { ImageRow } from "./tasks.ts";

/** Telling the class of an image. */
export const IMAGE_CLASSIFICATION: TaskKind<"image-classification"> = {
  async prepare(model, rows, { nameRow }) {
    if (isRowStream<ImageRow>(rows)) fail("rows", "are read from files of rows", "give images in memory");
    const given = givenRows(rows, IMAGE_READER, nameRow);
    return { items: await imageItems(model, given), nameRow: given.nameOf };
  },
  objective: imageClassification,
  evaluate: (model, items, _, how) => evaluateClassifier(imageClassification(model), items, how),
};

const IMAGE_READER: RowReader<ImageRow> = {
  wanted: '"image", as decodeImage gives it, and "label"',
  read({ image, label }) {
    const isImage = typeof image === "function" || (isObject(image) && "data" in image && "width" in image);
    const named = labelOf(label);
    if (!isImage) return 'has no "image" as decodeImage gives it';
    return named === undefined
      ? 'has no "label"'
      : { image: image as unknown as ImageRow["image"], label: named };
  },
};

/**
 * Images of the size that the model takes, a quarter of their pixels' memory each.
 * @throws LoraError naming every one that cannot be used
 */
export async function imageItems(
  model: TaskModel<"image-classification">,
  { path, rows, nameOf }: NamedRows<ImageRow>,
): Promise<LabelledImage[]> {
  checkLabels(
    rows.map(({ label }) => label),
    model.labels,
    path,
  );
  const index = labelIndex(model.labels);
  const items: LabelledImage[] = [];
  const problems = new Problems();
  for (const [place, row] of rows.entries()) {
    try {
      items.push({ ...(await openImage(model, row, nameOf(place))), label: index(row.label) });
    } catch (error) {
      if (!(error instanceof LoraError) || error.kind !== "input") throw error;
      problems.push(error);
    }
  }
  failAll(path, problems, "repair these files or take them out; preprocessor_config.json says the size");
  return items;
}

async function openImage(
  model: TaskModel<"image-classification">,
  { image }: ImageRow,
  name: string,
): Promise<Pick<LabelledImage, "pixels">> {
  const config = model.images as ImageConfig;
  const fitted = fitImage(typeof image === "function" ? await image() : image, config);
  checkImageSize(fitted, model.image, name);
  return { pixels: () => imagePixels(fitted, config) };
}
