import { isLinear } from "../../nn/linear.ts";
import { patternMatcher } from "../../util/module-patterns.ts";
import type { Codec, MethodKind, Note, SortedTensors, StoredInfo } from "../codec.ts";
import { FLAG } from "../config-fields.ts";
import { MERGE } from "../remedies.ts";
import { checkRanks, patternWarnings } from "../sites/stored-ranks.ts";
import { requireTogether } from "../stored-tensors.ts";
import { type Loha, loha } from "./loha.ts";
import {
  LYCORIS_FLOATS,
  LYCORIS_OPTIONS,
  lycorisFields,
  lycorisProblems,
  lycorisRemarks,
  type PeftLycorisConfig,
  readLycoris,
  writeLycoris,
} from "./lycoris-codec.ts";

/** `adapter_config.json` of `peft_type` LOHA. */
export interface PeftLohaConfig extends PeftLycorisConfig {
  init_weights: boolean;
}

const NAMES = ["hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"] as const;

const codec: Codec<Loha, PeftLohaConfig> = {
  fields: { ...lycorisFields("LOHA"), init_weights: [true, FLAG] },
  floats: LYCORIS_FLOATS,
  tensors: Object.fromEntries(NAMES.map((name) => [name, name])),
  findings: (config, right) => ({ problems: lycorisProblems(config, right), obstacles: [] }),
  foreign: (name) =>
    /\.hada_t[12]$/.test(name)
      ? { what: "tensors of convolutions, which are not supported", remedy: MERGE }
      : undefined,
  check(tensors, config, note) {
    requireTogether(tensors, NAMES, note);
    const right = [...tensors].filter(([path, factors]) => fits(path, factors, note));
    const ranks = right.map(([path, { hada_w1_b }]) => [path, hada_w1_b?.shape[0] as number] as const);
    return config ? checkRanks(ranks, config, note) : [];
  },
  misfit(module, { hada_w1_a, hada_w1_b, hada_w2_a, hada_w2_b }) {
    if (!module || !isLinear(module)) return "is no linear layer of the model";
    const { inFeatures, outFeatures } = module;
    const outs = [hada_w1_a, hada_w2_a].map((tensor) => tensor?.shape[0]);
    const ins = [hada_w1_b, hada_w2_b].map((tensor) => tensor?.shape[1]);
    if (outs.every((size) => size === outFeatures) && ins.every((size) => size === inFeatures)) return;
    return `factors of ${ins[0]} → ${outs[0]} and ${ins[1]} → ${outs[1]} do not fit a layer of ${inFeatures} → ${outFeatures}`;
  },
  warnings: ({ config, tensors }) => patternWarnings(config, [...tensors.keys()]),
  read(model, stored) {
    const { config, tensors } = stored;
    const alphas = patternMatcher(config.alpha_pattern);
    const ranks = [...tensors].map(([path, { hada_w1_b }]) => {
      return [path, { r: hada_w1_b?.shape[0] as number, alpha: alphas(path)[0] ?? config.alpha }] as const;
    });
    return readLycoris(model, stored, new Map(ranks), (options) =>
      loha({ ...options, initWeights: config.init_weights }),
    );
  },
  write: (adapter) => ({ ...writeLycoris(adapter), init_weights: adapter.method.options.initWeights }),
};

/** LoHa in the registry. */
export const LOHA: MethodKind<Loha, PeftLohaConfig> = {
  type: "LOHA",
  name: "loha",
  codec,
  options: {
    ...LYCORIS_OPTIONS,
    init_weights: {
      sets: "initWeights",
      value: { is: "switch" },
      fallback: true,
      help: "the update begins as zero",
    },
  },
  make: loha,
  becomesLora: true,
  remarks: lycorisRemarks,
};

type Factors = SortedTensors<StoredInfo>["tensors"] extends ReadonlyMap<string, infer T> ? T : never;

/** Whether the shapes are those of two pairs of one rank; what is incomplete was noted before. */
function fits(path: string, factors: Factors, note: Note): boolean {
  const tensors = NAMES.map((name) => factors[name]);
  if (tensors.some((tensor) => !tensor)) return false;
  const shapes = tensors.map((tensor) => tensor?.shape ?? []);
  const where = `${path} (${NAMES.map((name, i) => `${name} [${shapes[i]}]`).join(", ")})`;
  const ranks = new Set(shapes.map((shape, i) => shape[NAMES[i]?.endsWith("_a") ? 1 : 0]));
  if (shapes.some(({ length }) => length !== 2)) {
    note("not two axes each, as linear layers have (convolutions are not supported)", where);
  } else if (ranks.size > 1) {
    note("the ranks of w1_a [out, r], w1_b [r, in], w2_a and w2_b differ", where);
  } else if (ranks.has(0)) {
    note("the rank is 0", where);
  } else return true;
  return false;
}
