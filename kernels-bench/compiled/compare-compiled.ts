// Did the compiler make worse code of a kernel than before?
import { percent } from "../table.ts";
import type { CompiledKernel, CompiledReport } from "./compiled-result.ts";
import { shareOf } from "./compiler-output.ts";

/** A kernel that became worse. */
export interface Fault {
  readonly kernel: CompiledKernel;
  /** The first case that launches it, and how many more do. */
  readonly cases: readonly string[];
  readonly reason: string;
}

/** Fewer multiply-adds than this are no hot loop: a norm's or a table's arithmetic, whose share means nothing. */
const FEWEST = 16;
/** The share moves by so much with the order in which instructions are scheduled. */
const TOLERANCE = 0.02;

/**
 * What became worse: a hot block with a smaller share of multiply-adds, or a kernel that spills and did not before. Kernels
 * are matched by case and name, so that a constant may be renamed; of several of one name the one that is worse counts.
 */
export function faultsOf(before: CompiledReport, after: CompiledReport): Fault[] {
  const found = new Map<string, { kernel: CompiledKernel; reason: string; cases: string[] }>();
  for (const [name, places] of Object.entries(after.cases)) {
    const old = (before.cases[name] ?? []).flatMap((i) => before.kernels[i] ?? []);
    for (const place of places) {
      const kernel = after.kernels[place] as CompiledKernel;
      const reason = reasonFor(
        old.filter((one) => one.name === kernel.name),
        kernel,
      );
      if (reason === undefined) continue;
      const key = `${place} ${reason}`;
      const fault = found.get(key) ?? { kernel, reason, cases: [] };
      fault.cases.push(name);
      found.set(key, fault);
    }
  }
  return [...found.values()];
}

function reasonFor(old: readonly CompiledKernel[], { hot, spills }: CompiledKernel): string | undefined {
  if (spills > 0 && old.every((one) => one.spills === 0)) return `spills ${spills} registers`;
  const shares = old.filter((one) => one.hot.multiplyAdds >= FEWEST).map((one) => shareOf(one.hot));
  const least = shares.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  if (least === Number.POSITIVE_INFINITY || shareOf(hot) >= least - TOLERANCE) return undefined;
  return `multiply-adds are ${percent(shareOf(hot))} of the hot block, were ${percent(least)}`;
}

/** What a comparison has to say; nothing can be said where the compilers differ. */
export function formatFaults(before: CompiledReport, after: CompiledReport): string[] {
  const difference = incomparable(before, after);
  if (difference !== undefined) return [`not compared: ${difference}`];
  const faults = faultsOf(before, after);
  return [
    `compared with webgpu-lora ${before.package} on ${before.device}: kernels that became worse: ${faults.length}`,
    ...faults.map(({ kernel: { name, constants }, cases, reason }) => {
      const others = cases.length > 1 ? ` and ${cases.length - 1} more` : "";
      return `WORSE: ${name} ${constants}: ${reason} (${cases[0]}${others})`;
    }),
  ];
}

/** Why two results of one card say nothing about the kernels' source, or undefined. */
export function incomparable(before: CompiledReport, after: CompiledReport): string | undefined {
  if (before.device === after.device) return undefined;
  return `its compiler was ${before.device}, this one is ${after.device}; make it anew`;
}
