import { peftPatterns } from "../sites/patterns.ts";
import { type Lora, lora } from "./lora.ts";

/** The same method with other ranks, at these layers alone among linear ones; by `evaAdjustScalingFactors` of the same scales. */
export function withRanks({ options, rankOf }: Lora, ranks: ReadonlyMap<string, number>): Lora {
  const { excludeModules: _, layersToTransform: __, layersPattern: ___, ...rest } = options;
  const own = [...ranks].map(([path, r]) => {
    const before = rankOf(path);
    const alpha = options.evaAdjustScalingFactors ? (before.alpha * r) / before.r : before.alpha;
    return [path, { r, alpha }] as const;
  });
  const { rank_pattern: rankPattern, alpha_pattern: alphaPattern } = peftPatterns(
    { r: options.r, lora_alpha: options.alpha },
    new Map(own),
  );
  return lora({ ...rest, targetModules: [...ranks.keys()], rankPattern, alphaPattern });
}
