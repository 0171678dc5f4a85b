import type { Checkpoint, CheckpointTensor } from "../io/formats/checkpoint.ts";
import type { Family } from "../models/family.ts";
import { modelName } from "../nn/weights.ts";
import { groupLines } from "../util/group-lines.ts";

/** A checkpoint's tensors by the names that a model has for them. */
export interface StoredTensors {
  readonly tensors: Map<string, CheckpointTensor>;
  /** For names of the model that the index promises and no file holds: what is wrong. */
  readonly absent: ReadonlyMap<string, string>;
  /** Stored tensors that the model has no use for and that are not known to mean nothing to it. */
  readonly unused: readonly string[];
}

/** Buffers of old versions of transformers, which computes them now. */
const BUFFERS =
  /(?:^|\.)rotary_emb\.(?:inv_freq|cos_cached|sin_cached)$|\.(?:attention|attn)\.(?:masked_)?bias$|(?:^|\.)position_ids$/;

/**
 * Finds the tensors of a model in a checkpoint.
 * @param known every name that the model may ask for
 * @returns also the problems: two tensors that stand for one of the model's
 */
export function findTensors(
  { tensors: stored, absent }: Pick<Checkpoint, "tensors" | "absent">,
  family: Family,
  known: ReadonlySet<string>,
): StoredTensors & { readonly problems: readonly string[] } {
  const own = (name: string) => modelName(family, name, known);
  const tensors = new Map<string, CheckpointTensor>();
  const unused: string[] = [];
  const problems: string[] = [];
  for (const tensor of stored.values()) {
    const name = own(tensor.name);
    const other = tensors.get(name);
    if (!known.has(name)) {
      if (!BUFFERS.test(name) && !family.leftovers?.test(name)) unused.push(tensor.name);
    } else if (other) {
      problems.push(`${other.name} and ${tensor.name} both stand for ${name}`);
    } else {
      tensors.set(name, tensor);
    }
  }
  const missing = [...absent].map(([name, { file, fileExists }]) => {
    return [
      own(name),
      `${name} should be in ${file}, which ${fileExists ? "lacks it" : "is not there"}`,
    ] as const;
  });
  return { tensors, absent: new Map(missing), unused, problems: groupLines(problems) };
}

/** Ways in which a whole model was wrapped when it was saved: a part of every name, and how to save without it. */
const WRAPPERS: readonly (readonly [part: RegExp, how: string])[] = [
  [/(?:^|\.)_orig_mod(?=\.)/, "it was saved while compiled: save model._orig_mod in Python"],
  [/^module(?=\.)/, "it was saved while wrapped for several processes: save model.module in Python"],
  [
    /^base_model\.model(?=\.)|\.base_layer(?=\.)/,
    "it was saved with an adapter in it: in Python, save what model.merge_and_unload() gives, or what model.unload() gives and the adapter apart",
  ],
  [
    /^(?:model\.)?language_model(?=\.)/,
    "it is the language model of a multimodal one: in Python, save its tensors without that part of their names",
  ],
];

/** Why a model finds nothing of what it needs under the names that are there, where that is known. */
export function explainNames(unused: readonly string[]): string | undefined {
  for (const [part, how] of WRAPPERS) {
    const name = unused.find((name) => part.test(name));
    const [found] = (name !== undefined && part.exec(name)) || [];
    if (found !== undefined)
      return `names hold ${JSON.stringify(found.replace(/^\./, ""))} (${name}); ${how}`;
  }
  return undefined;
}
