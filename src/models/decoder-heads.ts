import { replicableDecoder } from "./decoder.ts";
import { buildDecoderClassifier, type DecoderClassifierConfig } from "./decoder-classifier.ts";
import { buildDecoderEncoder } from "./decoder-encoder.ts";
import { causalDecoder, type DecoderFamily } from "./decoder-families.ts";
import { type Family, family } from "./family.ts";
import { readLabels } from "./labels.ts";
import type { Families } from "./plan.ts";

/** All entries of families of decoders, by architecture: one for each head. */
export const decoderFamilies = (families: readonly DecoderFamily[]): Families =>
  Object.fromEntries(families.flatMap((one) => [causalDecoder(one), classifier(one), encoder(one)]));

/** With the head that classifies texts. */
function classifier(given: DecoderFamily): [architecture: string, Family] {
  const { className, textName = className, makeMixture, renames = [], fileNames = [] } = given;
  const { modelType, defaultTargets } = given;
  const entry = family({
    ...{ modelType, defaultTargets, renames, fileNames },
    task: "sequence-classification",
    leftovers: /^lm_head\./,
    read: (c) => ({ ...given.read(c), labels: readLabels(c, 1) }),
    build: (device, weights, c) => buildDecoderClassifier(device, weights, c, makeMixture),
    replicable: replicableDecoder<DecoderClassifierConfig>("model.layers"),
  });
  return [`${textName}ForSequenceClassification`, entry];
}

/** Without a head: it gives texts a vector each. */
function encoder(given: DecoderFamily): [architecture: string, Family] {
  const { className, textName = className, makeMixture, renames = [], fileNames = [] } = given;
  const { modelType, defaultTargets, read } = given;
  const entry = family({
    ...{ modelType, defaultTargets, fileNames, read },
    task: "sentence-embedding",
    renames: [...renames, [/^model\./, ""]],
    leftovers: /^(?:lm_head|score)\./,
    build: (device, weights, c) => buildDecoderEncoder(device, weights, c, makeMixture),
    replicable: replicableDecoder("layers"),
  });
  return [`${textName}Model`, entry];
}
