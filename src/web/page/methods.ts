import type { EngineMethod } from "../../engine/protocol.ts";
import type { RunSettings } from "./kept-run.ts";

/** A way to learn, as the page offers it. */
export interface PageMethod {
  readonly name: string;
  /** In a list of them. */
  readonly label: string;
  /** What its size is called; absent where it has none. */
  readonly size?: { readonly label: string; readonly fallback: number; readonly help: string };
  /** Whether it adapts layers, which can be chosen. */
  readonly hasTargets: boolean;
  /** As the engine takes it, without its layers. */
  make(size: number): EngineMethod;
}

const RANK = { label: "Rank", fallback: 16, help: "how much can change" };

/** The ways to learn, the usual one first. */
export const PAGE_METHODS: readonly PageMethod[] = [
  {
    ...{
      name: "lora",
      label: "LoRA: small matrices beside each layer, the usual one",
      size: RANK,
      hasTargets: true,
    },
    make: (r) => ({ method: "lora", r, alpha: 2 * r }),
  },
  {
    ...{
      name: "dora",
      label: "DoRA: LoRA that turns and stretches apart, slower",
      size: RANK,
      hasTargets: true,
    },
    make: (r) => ({ method: "lora", r, alpha: 2 * r, useDora: true }),
  },
  {
    ...{ name: "adalora", label: "AdaLoRA: more rank where it matters", hasTargets: true },
    size: { ...RANK, fallback: 8 },
    make: (r) => ({ method: "adalora", targetR: r, initR: Math.ceil(1.5 * r), alpha: 2 * r }),
  },
  {
    ...{ name: "oft", label: "OFT: turns the weights and adds nothing", hasTargets: true },
    size: { label: "Block size", fallback: 32, help: "how much can change" },
    make: (oftBlockSize) => ({ method: "oft", oftBlockSize }),
  },
  {
    ...{ name: "loha", label: "LoHa: products of small matrices", hasTargets: true },
    size: { ...RANK, fallback: 8 },
    make: (r) => ({ method: "loha", r, alpha: r }),
  },
  {
    ...{ name: "vera", label: "VeRA: two vectors a layer, a very small file", hasTargets: true },
    size: { ...RANK, fallback: 256 },
    make: (r) => ({ method: "vera", r }),
  },
  {
    ...{ name: "ia3", label: "IA³: one factor for each output, the smallest file", hasTargets: false },
    make: () => ({ method: "ia3" }),
  },
  {
    ...{ name: "prompt", label: "Prompt tuning: learns words of its own before the text", hasTargets: false },
    size: { label: "Words", fallback: 20, help: "how many it learns" },
    make: (numVirtualTokens) => ({ method: "prompt_tuning", numVirtualTokens }),
  },
];

/** What people call a method, by PEFT's `peft_type`. */
export function methodTitle(type: string): string {
  const name = type.toLowerCase();
  const [title] = PAGE_METHODS.find((method) => method.name === name)?.label.split(":") ?? [];
  return title ?? OTHER_TITLES[name] ?? name.charAt(0).toUpperCase() + name.slice(1).replaceAll("_", " ");
}

/** Names that are written otherwise than words, of ways that the page does not offer. */
const OTHER_TITLES: Readonly<Record<string, string>> = { lokr: "LoKr", p_tuning: "P-tuning", beft: "BEFT" };

/** The way of this name; what another version of the page has kept may name none. */
export function pageMethod(name: string): PageMethod {
  return PAGE_METHODS.find((method) => method.name === name) ?? (PAGE_METHODS[0] as PageMethod);
}

/** What is trained by these settings, as the engine takes it. */
export function engineMethod(
  { method, rank, targets }: RunSettings,
  defaultTargets: readonly string[],
): EngineMethod {
  const { make, hasTargets } = pageMethod(method);
  if (!hasTargets) return make(rank);
  const named = targets.split(/[\s,]+/).filter(Boolean);
  const targetModules = targets === "default" ? defaultTargets : named.length > 1 ? named : targets.trim();
  return {
    ...make(rank),
    targetModules: Array.isArray(targetModules) ? [...targetModules] : nameOrAll(String(targetModules)),
  };
}

/** One name alone would be taken for an expression of whole paths. */
const nameOrAll = (target: string) => (target === "all-linear" ? target : [target]);
