import type { Adaptable } from "./method.ts";

/** A module that the class in transformers has and that no adapter reaches here. */
export interface UnreachableModule {
  readonly path: string;
  /** Completes "embed_tokens: ". */
  readonly why: string;
  /** The task has no use for it. */
  readonly isUnused: boolean;
}

const EMBEDDING = "LoRA or training of the output layer and of embeddings is not supported yet";

/** What output layers are called that share the embedding's matrix, so that no tensor has their name. */
const OUTPUT_LAYERS: Readonly<Record<string, readonly string[]>> = {
  "causal-lm": ["lm_head", "embed_out"],
  "masked-lm": ["cls.predictions.decoder", "lm_head.decoder", "vocab_projector"],
};

/** Embeddings, the output layer, and what the task has no use for. */
export function unreachableModules({
  task = "",
  looseTensors = [],
  absentModules = [],
}: Adaptable): UnreachableModule[] {
  const loose = looseTensors.map((name) => name.slice(0, Math.max(0, name.lastIndexOf("."))));
  const paths = new Set([...loose, ...(OUTPUT_LAYERS[task] ?? [])]);
  const unused = `${task} does not use it, so nothing would train it`;
  return [
    ...[...paths].map((path) => ({ path, why: EMBEDDING, isUnused: false })),
    ...absentModules.map((path) => ({ path, why: unused, isUnused: true })),
  ];
}
