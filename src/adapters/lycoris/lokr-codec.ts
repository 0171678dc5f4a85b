import { isLinear } from "../../nn/linear.ts";
import type { HostTensor } from "../../util/host-tensor.ts";
import { patternMatcher } from "../../util/module-patterns.ts";
import { shown } from "../../util/shown.ts";
import type { Codec, MethodKind, Note } from "../codec.ts";
import { FLAG, type Kind } from "../config-fields.ts";
import type { Adaptable } from "../method.ts";
import type { MethodOptions } from "../method-options.ts";
import { MERGE } from "../remedies.ts";
import { checkRanks, patternWarnings } from "../sites/stored-ranks.ts";
import { type Lokr, type LokrOptions, lokr } from "./lokr.ts";
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

/** `adapter_config.json` of `peft_type` LOKR. */
export interface PeftLokrConfig extends PeftLycorisConfig {
  decompose_both: boolean;
  decompose_factor: number;
  init_weights: boolean | "lycoris";
  rank_dropout_scale: boolean;
}

const INIT: Kind = {
  wants: 'true, false or "lycoris"',
  accepts: (value) => typeof value === "boolean" || value === "lycoris",
};
const FACTOR: Kind = {
  wants: "a whole number of at least -1",
  accepts: (value) => Number.isSafeInteger(value) && Number(value) >= -1,
};

const MATRICES = ["lokr_w1", "lokr_w2"] as const;
const NAMES = MATRICES.flatMap((name) => [name, `${name}_a`, `${name}_b`]);

/** Tensors of a layer with their shapes. */
type Shapes = Readonly<Record<string, Pick<HostTensor, "shape">>>;

const codec: Codec<Lokr, PeftLokrConfig> = {
  fields: {
    ...lycorisFields("LOKR"),
    decompose_both: [false, FLAG],
    decompose_factor: [-1, FACTOR],
    init_weights: [true, INIT],
    rank_dropout_scale: [false, FLAG],
  },
  floats: LYCORIS_FLOATS,
  tensors: Object.fromEntries(NAMES.map((name) => [name, name])),
  findings: (config, right) => ({ problems: lycorisProblems(config, right), obstacles: [] }),
  foreign: (name) =>
    name.endsWith(".lokr_t2")
      ? { what: "tensors of convolutions, which are not supported", remedy: MERGE }
      : undefined,
  check(tensors, config, note) {
    const right = [...tensors].filter(([path, there]) => fits(path, there, note));
    const ranks = right.flatMap(([path, there]) => {
      const r = rankIn(there);
      return r === undefined ? [] : [[path, r] as const];
    });
    return config ? checkRanks(ranks, config, note) : [];
  },
  misfit(module, tensors) {
    if (!module || !isLinear(module)) return "is no linear layer of the model";
    const { inFeatures, outFeatures } = module;
    const [first, second] = MATRICES.map((name) => sizeOf(tensors, name));
    const [rows, columns] = [(first?.[0] ?? 0) * (second?.[0] ?? 0), (first?.[1] ?? 0) * (second?.[1] ?? 0)];
    if (rows === outFeatures && columns === inFeatures) return undefined;
    return `W₁ [${first}] and W₂ [${second}] give ${columns} → ${rows} and do not fit a layer of ${inFeatures} → ${outFeatures}`;
  },
  misfits(model, stored) {
    const method = read(model, stored);
    return method.sites(model).flatMap((site) => {
      const there = stored.tensors.get(site.path) ?? {};
      const wanted = Object.entries(method.tensors(site));
      const isRight =
        wanted.length === Object.keys(there).length &&
        wanted.every(([name, { shape }]) => shown(there[name]?.shape) === shown(shape));
      if (isRight) return [];
      const list = (shapes: readonly (readonly [string, readonly number[]])[]) =>
        shapes.map(([name, shape]) => `${name} [${shape}]`).join(", ");
      const got = list(Object.entries(there).map(([name, { shape }]) => [name, shape] as const));
      const expected = list(wanted.map(([name, { shape }]) => [name, shape] as const));
      return [
        {
          problem: `${site.path}: ${got}, and the configuration means ${expected}`,
          remedy:
            "set r, rank_pattern, decompose_factor and decompose_both in adapter_config.json as in training",
        },
      ];
    });
  },
  warnings: ({ config, tensors }) => patternWarnings(config, [...tensors.keys()]),
  read,
  write(adapter) {
    const { decomposeBoth, decomposeFactor, initWeights, rankDropoutScale } = adapter.method.options;
    return {
      ...writeLycoris(adapter),
      decompose_both: decomposeBoth,
      decompose_factor: decomposeFactor,
      init_weights: initWeights,
      rank_dropout_scale: rankDropoutScale,
    };
  },
};

const OPTIONS: MethodOptions<LokrOptions> = {
  ...LYCORIS_OPTIONS,
  decompose_both: {
    sets: "decomposeBoth",
    value: { is: "switch" },
    fallback: false,
    help: "the first matrix is a product of rank r, too, where that is smaller",
  },
  decompose_factor: {
    sets: "decomposeFactor",
    value: { is: "whole", min: -1 },
    fallback: -1,
    help: "size of the first matrix along both axes, where it divides them; -1: close to the square root",
    aliases: ["factor"],
  },
  rank_dropout_scale: {
    sets: "rankDropoutScale",
    value: { is: "switch" },
    fallback: false,
    help: "scale up what rank_dropout leaves",
  },
  init_weights: {
    sets: "initWeights",
    value: {
      is: "read",
      placeholder: "true|false|lycoris",
      wanted: "true, false or lycoris",
      read: readInit,
    },
    fallback: true,
    help: "the update begins as zero by its first matrix; lycoris: by its second; false: it does not",
  },
};

function readInit(value: unknown): boolean | "lycoris" | undefined {
  const word = String(value).toLowerCase();
  if (word === "lycoris") return word;
  return word === "true" || word === "false" ? word === "true" : undefined;
}

/** LoKr in the registry. */
export const LOKR: MethodKind<Lokr, PeftLokrConfig> = {
  type: "LOKR",
  name: "lokr",
  codec,
  options: OPTIONS,
  make: lokr,
  becomesLora: true,
  remarks: lycorisRemarks,
};

function read(model: Adaptable, stored: Parameters<typeof codec.read>[1]): Lokr {
  const { config, tensors } = stored;
  const [ranks, alphas] = [patternMatcher(config.rank_pattern), patternMatcher(config.alpha_pattern)];
  const settled = [...tensors].map(([path, there]) => {
    const r = rankIn(there) ?? ranks(path)[0] ?? config.r; // whole matrices say nothing of it
    return [path, { r, alpha: alphas(path)[0] ?? config.alpha }] as const;
  });
  const own = {
    decomposeBoth: config.decompose_both,
    decomposeFactor: config.decompose_factor,
    initWeights: config.init_weights,
    rankDropoutScale: config.rank_dropout_scale,
  };
  return readLycoris(model, stored, new Map(settled), (options) => lokr({ ...options, ...own }));
}

/** The rank of the products; undefined where both matrices are whole. */
function rankIn(tensors: Shapes): number | undefined {
  return tensors.lokr_w1_b?.shape[0] ?? tensors.lokr_w2_b?.shape[0];
}

/** Rows and columns of one of the two matrices. */
function sizeOf(tensors: Shapes, name: string): readonly (number | undefined)[] {
  return tensors[name]?.shape ?? [tensors[`${name}_a`]?.shape[0], tensors[`${name}_b`]?.shape[1]];
}

/** Whether the tensors are two matrices, each whole or a product, of one rank. */
function fits(path: string, tensors: Shapes, note: Note): boolean {
  const where = `${path} (${Object.entries(tensors)
    .map(([name, { shape }]) => `${name} [${shape}]`)
    .join(", ")})`;
  const isComplete = MATRICES.every((name) => {
    const has = [name, `${name}_a`, `${name}_b`].map((part) => tensors[part] !== undefined);
    return has[0] ? !has[1] && !has[2] : has[1] && has[2];
  });
  const ranks = MATRICES.flatMap((name) => [
    tensors[`${name}_a`]?.shape[1],
    tensors[`${name}_b`]?.shape[0],
  ]).filter((rank) => rank !== undefined);
  if (Object.values(tensors).some(({ shape }) => shape.length !== 2)) {
    note("not two axes each, as linear layers have (convolutions are not supported)", where);
  } else if (!isComplete) {
    note("not lokr_w1 or both lokr_w1_a and lokr_w1_b, and the same of lokr_w2", where);
  } else if (new Set(ranks).size > 1) {
    note("the ranks of the products _a [rows, r] and _b [r, columns] differ", where);
  } else if (ranks.includes(0)) {
    note("the rank is 0", where);
  } else return true;
  return false;
}
