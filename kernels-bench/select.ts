import { fail } from "../src/util/fail.ts";
import { nearest } from "../src/util/nearest.ts";
import type { Registry } from "./cases.ts";
import type { BenchCase } from "./harness.ts";

/** Which cases are wanted; an empty list wants all. */
export interface Selection {
  /** Names of kernels. */
  readonly kernels: readonly string[];
  /** Words of sizes, such as `T512`, `K576` or `512x512x512`; several of them must all fit. */
  readonly sizes: readonly string[];
}

/** A case and the kernel that it belongs to. */
export interface SelectedCase extends BenchCase {
  readonly kernel: string;
}

/**
 * The cases of a selection, in the registry's order.
 * @throws LoraError for a kernel or a size that there is not, listing those that there are.
 */
export function selectCases(registry: Registry, { kernels, sizes }: Selection): SelectedCase[] {
  const names = Object.keys(registry);
  const unknown = kernels.find((name) => !names.includes(name));
  if (unknown !== undefined) {
    const meant = nearest(unknown, names);
    const hint = meant === undefined ? "" : `; did you mean ${meant}?`;
    fail("bench", `there is no kernel "${unknown}"${hint}`, `kernels: ${names.join(", ")}`);
  }
  const all = names
    .filter((name) => kernels.length === 0 || kernels.includes(name))
    .flatMap((kernel) => (registry[kernel] ?? []).map((benchCase) => ({ ...benchCase, kernel })));
  return sizes.length === 0 ? all : all.filter((benchCase) => hasSize(benchCase, sizes, all));
}

function hasSize({ size }: BenchCase, wanted: readonly string[], all: readonly BenchCase[]): boolean {
  for (const word of wanted) checkSize(word, all);
  const words = wordsOf(size);
  return wanted.every((word) => words.includes(plain(word)));
}

function checkSize(word: string, all: readonly BenchCase[]): void {
  const known = [...new Set(all.flatMap(({ size }) => size?.split(" ") ?? []))];
  if (known.some((size) => plain(size) === plain(word))) return;
  fail("bench", `no case has the size "${word}"`, `sizes: ${known.sort(byLetterAndNumber).join(", ")}`);
}

const wordsOf = (size = "") => size.split(" ").map(plain);

/** `512x512x512` stands for `512×512×512`, and case does not count. */
const plain = (word: string) => word.toLowerCase().replaceAll("×", "x");

const byLetterAndNumber = (a: string, b: string) => a.localeCompare(b, "en", { numeric: true });

/** One line a kernel, op and size, for `--list`. */
export function listCases(registry: Registry, selection: Selection): string[] {
  const cases = selectCases(registry, selection);
  const kernels = [...new Set(cases.map(({ kernel }) => kernel))];
  return kernels.flatMap((kernel) => {
    const own = cases.filter((benchCase) => benchCase.kernel === kernel);
    const ops = [...new Set(own.map(({ op, name }) => op ?? name))];
    return [kernel, ...ops.map((op) => `  ${op}: ${sizesOf(own, op).join(", ")}`)];
  });
}

function sizesOf(cases: readonly BenchCase[], op: string): string[] {
  return [...new Set(cases.filter((benchCase) => benchCase.op === op).map(({ size }) => size ?? ""))];
}
