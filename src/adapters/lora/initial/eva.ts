import type { Linear } from "../../../nn/linear.ts";
import { largest } from "../../../util/arrays.ts";
import { fail, failAll } from "../../../util/fail.ts";
import type { Random } from "../../../util/random.ts";
import { IncrementalSvd } from "./incremental-svd.ts";

/** PEFT's `eva_config`, without what is about its own data loaders. */
export interface EvaConfig {
  /** A layer gets at most this many times its rank; 1: the ranks stay as they are. */
  readonly rho: number;
  /** Cosine between a component and itself a batch before, from which on it counts as found. */
  readonly tau: number;
  /** Components are divided by the root of their singular value. */
  readonly whiten: boolean;
}

/** Inputs of some layers, batch by batch, without an end: those of a layer `[n, in]`, one array for layers of one input. */
export type LayerInputs = (layers: readonly Linear[]) => AsyncIterable<ReadonlyMap<Linear, Float32Array>>;

/** What EVA found for a layer. */
export interface EvaLayer {
  /** 0: the layer is left out. */
  readonly rank: number;
  /** `[rank, in]` */
  readonly A: Float32Array;
}

/** Batches after which components that still turn are no longer waited for. */
const MOST_BATCHES = 10_000;

/** Layers that have the same input, and its components. */
interface Source {
  readonly layers: readonly Linear[];
  readonly svd: IncrementalSvd;
  isFound: boolean;
}

/**
 * EVA (Paischer et al. 2024, arXiv 2410.07170): lora_A begins as the directions in which a layer's inputs vary most, and
 * the ranks of all layers go where these explain most. As PEFT's `get_eva_state_dict`: incremental decomposition of the
 * inputs, batch after batch, until the components that count stay where they are.
 * @param rankOf each layer's rank: their sum is what is distributed
 * @throws LoraError where a layer is narrower than the components that it may get, and where they are not found
 */
export async function eva(
  layers: readonly Linear[],
  rankOf: (layer: Linear) => number,
  inputs: LayerInputs,
  config: EvaConfig,
  random: Random,
): Promise<Map<Linear, EvaLayer>> {
  const budget = layers.reduce((sum, layer) => sum + rankOf(layer), 0);
  let sources: Source[] | undefined;
  let ranks = new Map<Linear, number>();
  let batches = 0;
  for await (const batch of inputs(layers)) {
    if (!sources) {
      sources = findSources(layers, batch, rankOf, config, random);
      const most = sources.flatMap(({ layers, svd }) => layers.map((layer) => [layer, svd.size] as const));
      ranks = new Map(most);
    }
    for (const source of sources) {
      const wanted = ranks.get(source.layers[0] as Linear) ?? 0;
      const { similarities } = source.svd;
      source.isFound =
        similarities.length > 0 && similarities.subarray(0, wanted).every((cosine) => cosine >= config.tau);
    }
    if (sources.every(({ isFound }) => isFound)) break;
    if (++batches > MOST_BATCHES) {
      fail(
        "eva",
        `the components still turn after ${MOST_BATCHES} batches`,
        "take a smaller evaTau, or larger batches",
      );
    }
    for (const { isFound, svd, layers } of sources)
      if (!isFound) svd.add(batch.get(layers[0] as Linear) as Float32Array);
    if (sources.every(({ svd }) => svd.ratios.length > 0)) ranks = distribute(sources, budget);
  }
  if (!sources) return fail("eva", "there are no inputs", "give rows to look at");
  const found = sources.flatMap(({ layers, svd }) =>
    layers.map((layer): [Linear, EvaLayer] => {
      const rank = ranks.get(layer) ?? 0;
      return [layer, { rank, A: directions(svd, rank, layer.inFeatures, config) }];
    }),
  );
  return new Map(found);
}

/** Layers with one array of inputs share what is found of it: as many components as the one with the most may get. */
function findSources(
  layers: readonly Linear[],
  batch: ReadonlyMap<Linear, Float32Array>,
  rankOf: (layer: Linear) => number,
  { rho }: EvaConfig,
  random: Random,
): Source[] {
  const byInput = new Map<Float32Array, Linear[]>();
  for (const layer of layers) {
    const rows = batch.get(layer) ?? fail("eva", `${layer.path} has no input`, "leave it out of the targets");
    byInput.set(rows, [...(byInput.get(rows) ?? []), layer]);
  }
  const groups = [...byInput.values()].map((group) => ({
    group,
    size: largest(group.map((layer) => Math.round(rankOf(layer) * rho))),
  }));
  const narrow = groups.flatMap(({ group, size }) =>
    group
      .filter(({ inFeatures }) => size > inFeatures)
      .map(({ path, inFeatures }) => `${path} has ${inFeatures} inputs, and may get a rank of ${size}`),
  );
  failAll("eva", narrow, "take a smaller r, or a smaller evaRho");
  return groups.map(({ group, size }) => {
    const [first] = group as [Linear];
    return {
      layers: group,
      svd: new IncrementalSvd(size, first.inFeatures, random.fork(first.path)),
      isFound: false,
    };
  });
}

/** The ranks: of all layers' components, those that explain most of their layer's variance. */
function distribute(sources: readonly Source[], budget: number): Map<Linear, number> {
  // As PEFT has them: the first layer of each input, and then the others.
  const owners = sources.map(({ layers, svd }) => ({ layer: layers[0] as Linear, svd }));
  const others = sources.flatMap(({ layers, svd }) => layers.slice(1).map((layer) => ({ layer, svd })));
  const all = [...owners, ...others].flatMap(({ layer, svd }) =>
    Array.from(svd.ratios, (ratio) => ({ layer, ratio })),
  );
  const counts = new Map<Linear, number>([...owners, ...others].map(({ layer }) => [layer, 0]));
  for (const { layer } of all.sort((a, b) => b.ratio - a.ratio).slice(0, budget)) {
    counts.set(layer, (counts.get(layer) ?? 0) + 1);
  }
  // The first layer of an input has the highest rank of those with it, since the components are found for it.
  for (const { layers } of sources) {
    const [first, ...rest] = layers as [Linear, ...Linear[]];
    for (const layer of rest) {
      const [own, firsts] = [counts.get(layer) ?? 0, counts.get(first) ?? 0];
      if (own <= firsts) continue;
      counts.set(first, own);
      counts.set(layer, firsts);
    }
  }
  return counts;
}

function directions(svd: IncrementalSvd, rank: number, width: number, { whiten }: EvaConfig): Float32Array {
  const A = svd.components.slice(0, rank * width);
  return whiten ? A.map((value, i) => value / Math.sqrt(svd.singularValues[Math.floor(i / width)]!)) : A;
}
