// What Mesa's compiler for AMD GPUs prints with RADV_DEBUG=cs,asm,shaderstats: the code of each pipeline in blocks, and
// figures of it.
import { fail } from "../../src/util/fail.ts";

/** Instructions of a block by what they do. */
export interface Mix {
  /** All of them. */
  readonly instructions: number;
  /** f32 and f16 multiply-adds of a lane; a dual-issued instruction may hold two. */
  readonly multiplyAdds: number;
  /** Dual-issued pairs, whatever they compute. */
  readonly dual: number;
  /** Matrix instructions. */
  readonly matrix: number;
  /** Loads and stores of workgroup memory. */
  readonly workgroup: number;
  /** Loads and stores of buffers. */
  readonly buffer: number;
  /** What is none of these: addresses, bounds, loops, waiting. */
  readonly rest: number;
}

/** A compiled pipeline. */
export interface Compiled {
  /** Vector registers of a lane. */
  readonly registers: number;
  /** Registers, vector and scalar, that did not fit and lie in memory. */
  readonly spills: number;
  /** Bytes of memory that a lane has beside registers: spills, and arrays with a varying index. */
  readonly scratch: number;
  /** Bytes of a workgroup. */
  readonly workgroupMemory: number;
  /** Waves in flight of a SIMD. */
  readonly waves: number;
  readonly instructions: number;
  /** The block with the most multiply-adds, a matrix instruction counting as LANES; of several the shortest. */
  readonly hot: Mix;
}

/** Announces whose code comes next. */
export const MARK = "@@PIPELINE ";

/**
 * What the compiler printed between announcements, by the number of each.
 * @throws LoraError where one has no figures
 */
export function readCompilerOutput(text: string): Map<number, Compiled> {
  const parts = text.split(MARK).slice(1);
  return new Map(parts.map((part) => [Number.parseInt(part, 10), readPart(part)]));
}

function readPart(part: string): Compiled {
  const figure = (name: string): number => {
    const found = part.match(new RegExp(`^${name}: (\\d+)`, "m"));
    return found ? Number(found[1]) : failPart(part, name);
  };
  return {
    registers: figure("VGPRs"),
    spills: figure("Spilled VGPRs") + figure("Spilled SGPRs"),
    scratch: figure("Scratch size"),
    workgroupMemory: figure("LDS size"),
    waves: figure("Subgroups per SIMD"),
    instructions: figure("Instructions"),
    hot: hottest(part),
  };
}

function failPart(part: string, name: string): never {
  const help = "Mesa 25's RADV prints it with RADV_DEBUG=cs,asm,shaderstats,nocache";
  return fail("compiler", `"${name}" is missing in what it printed for pipeline ${part.slice(0, 20)}`, help);
}

const MULTIPLY_ADD = /\bv_(?:dual_|pk_)?(?:fma|mac|mad)\w*_f(?:32|16)/g;
const EMPTY = mixOf("");
const LANES = 64;

function isHotter(one: Mix, other: Mix): boolean {
  const more = one.multiplyAdds - other.multiplyAdds + LANES * (one.matrix - other.matrix);
  return more === 0 ? shareOf(one) > shareOf(other) : more > 0;
}

function hottest(part: string): Mix {
  const code = part.slice(part.indexOf("disasm:"), part.indexOf("*** SHADER STATS"));
  const blocks = code.split(/^BB\d+:?$/m).slice(1);
  return blocks.map(mixOf).reduce((best, mix) => (isHotter(mix, best) ? mix : best), EMPTY);
}

/**
 * The mix of a block's lines, each an instruction behind a tab. Where Mesa has no disassembler for a card it prints the
 * compiler's last form of the same instructions instead, with what each defines in front: `v1: %5:v[3] = v_mov_b32 0`.
 */
function mixOf(block: string): Mix {
  const plain = block.replace(/^\t (?:.* = )?/gm, "\t");
  const lines = plain.split("\n").filter((line) => /^\t[a-z]/.test(line));
  const count = (pattern: RegExp) => lines.filter((line) => pattern.test(line)).length;
  const multiplyAdds = lines.reduce((sum, line) => sum + (line.match(MULTIPLY_ADD)?.length ?? 0), 0);
  const [multiplying, matrix] = [count(new RegExp(MULTIPLY_ADD.source)), count(/^\tv_wmma/)];
  const [workgroup, buffer] = [count(/^\tds_/), count(/^\t(?:(?:s_)?buffer|global|flat)_/)];
  return {
    ...{ instructions: lines.length, multiplyAdds, dual: count(/^\tv_dual_/), matrix, workgroup, buffer },
    rest: lines.length - multiplying - matrix - workgroup - buffer,
  };
}

/** Multiply-adds and matrix instructions for each instruction; above 1 where most are dual-issued. */
export function shareOf({ instructions, multiplyAdds, matrix }: Mix): number {
  return instructions === 0 ? 0 : (multiplyAdds + matrix) / instructions;
}
