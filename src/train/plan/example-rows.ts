import { IGNORE_INDEX } from "../../data/sequence.ts";
import type { AnyModel } from "../../models/model.ts";
import { imageClassification, sequenceClassification, tokenClassification } from "../classification.ts";
import { contrastive } from "../contrastive.ts";
import { languageModelling } from "../language-modelling.ts";
import { maskedLanguageModelling } from "../masked-language-modelling.ts";
import { rewardModelling } from "../preferences/reward.ts";
import { type Measurable, measurable } from "./measurable.ts";

/** Share of a text's tokens that masked language modelling hides. */
const HIDDEN = 0.15;

/**
 * Rows that are as long as rows can be, and of which everything is learnt: what a batch takes at most.
 * @param length tokens of each; images have none
 */
export function exampleRows(model: AnyModel, count: number, length: number): Measurable {
  const ids = new Array<number>(length).fill(0);
  const rows = <T>(row: T) => Array.from({ length: count }, () => row);
  switch (model.task) {
    case "causal-lm":
      return measurable(
        languageModelling(model),
        rows({ inputIds: ids, labels: [IGNORE_INDEX, ...ids.slice(1)] }),
      );
    case "masked-lm": {
      const hidden = Math.ceil(HIDDEN * length);
      const labels = ids.map((id, i) => (i < hidden ? id : IGNORE_INDEX));
      return measurable(maskedLanguageModelling(model), rows({ inputIds: ids, labels }));
    }
    case "sequence-classification":
      if (model.labels.length === 1) {
        const answer = { inputIds: ids };
        return measurable(rewardModelling(model), rows({ chosen: answer, rejected: answer }));
      }
      return measurable(sequenceClassification(model), rows({ inputIds: ids, label: 0 }));
    case "token-classification":
      return measurable(tokenClassification(model), rows({ inputIds: ids, labels: ids }));
    case "sentence-embedding":
      return measurable(contrastive(model), rows({ first: ids, second: ids }));
    case "image-classification": {
      const { channels, height, width } = model.image;
      const pixels = new Float32Array(channels * height * width);
      return measurable(imageClassification(model), rows({ pixels: () => pixels, label: 0 }));
    }
  }
}
