import type { ModelJson } from "../schema/models.ts";
import { bpe } from "./bpe.ts";
import { type Makers, make } from "./component.ts";
import type { Model } from "./model.ts";
import { unigram } from "./unigram.ts";
import { wordLevel, wordPiece } from "./word-models.ts";

const MODELS: Makers<ModelJson, Model> = {
  BPE: bpe,
  Unigram: unigram,
  WordLevel: wordLevel,
  WordPiece: wordPiece,
};

/** A model as its JSON describes it. */
export function makeModel(json: ModelJson): Model {
  return make(MODELS, json, "model");
}
