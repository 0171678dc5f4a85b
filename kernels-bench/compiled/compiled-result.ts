// The format of a result of bench:compiled. A change that an older reader would misread raises VERSION.
import { fail } from "../../src/util/fail.ts";
import type { Compiled } from "./compiler-output.ts";
import type { Card } from "./driver.ts";

const FORMAT = "webgpu-lora compiled kernels";
const VERSION = 1;

/** A kernel as it was compiled for a card. */
export interface CompiledKernel extends Compiled {
  /** Shader and entry point. */
  readonly name: string;
  /** Constants in which it differs from other kernels of its name: `FORMAT=7 TILE=64`. */
  readonly constants: string;
}

/** All kernels of the selected cases. */
export interface CompiledReport {
  readonly format: typeof FORMAT;
  readonly version: number;
  /** Of this package. */
  readonly package: string;
  readonly card: Card;
  /** As the driver names it, with its version. */
  readonly device: string;
  readonly kernels: readonly CompiledKernel[];
  /** Places in `kernels` of what a case launches, by its name. */
  readonly cases: Readonly<Record<string, readonly number[]>>;
}

/** A report of this version. */
export function makeReport(found: Omit<CompiledReport, "format" | "version">): CompiledReport {
  return { format: FORMAT, version: VERSION, ...found };
}

/** A report as the text of a file: a line for each kernel and case, so that changes are seen in version control. */
export function serializeCompiled({ kernels, cases, ...head }: CompiledReport): string {
  const lines = (values: readonly string[]) => `\n  ${values.join(",\n  ")}\n `;
  const fields = Object.entries(head).map(([key, value]) => ` "${key}": ${JSON.stringify(value)},`);
  const byCase = Object.entries(cases).map(
    ([name, own]) => `${JSON.stringify(name)}: ${JSON.stringify(own)}`,
  );
  return [
    "{",
    ...fields,
    ` "kernels": [${lines(kernels.map((kernel) => JSON.stringify(kernel)))}],`,
    ` "cases": {${lines(byCase)}}`,
    "}\n",
  ].join("\n");
}

/** Reads a result file. @throws LoraError where it is no JSON, no result, or of another version */
export function parseCompiled(text: string, label: string): CompiledReport {
  const help = "give a JSON file that npm run bench:compiled has written";
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    fail(label, `is no JSON: ${(error as Error).message}`, help);
  }
  const report = (typeof value === "object" ? value : null) as Partial<CompiledReport> | null;
  if (report?.format !== FORMAT) fail(label, "is no result of bench:compiled", help);
  if (report.version !== VERSION)
    fail(label, `is a result of version ${report.version}; this program reads version ${VERSION}`, help);
  if (!isWhole(report)) fail(label, "is a result of bench:compiled, but not a whole one", help);
  return report;
}

function isWhole(report: Partial<CompiledReport>): report is CompiledReport {
  const { kernels, cases, card, device } = report;
  return (
    Array.isArray(kernels) &&
    kernels.every(({ name, spills, hot }) => {
      const figures = [spills, hot?.instructions, hot?.multiplyAdds, hot?.matrix];
      return typeof name === "string" && figures.every((figure) => Number.isInteger(figure));
    }) &&
    typeof cases === "object" &&
    Object.values(cases ?? {}).every((own) => Array.isArray(own) && own.every((i) => kernels[i])) &&
    typeof card === "string" &&
    typeof device === "string"
  );
}
