import { type Bounds, FACTOR, inWords, isWithin } from "../util/options.ts";

/** What the value of an option is, and how a command or a configuration has it. */
export type ValueKind =
  | { readonly is: "number"; readonly bounds: Bounds }
  | { readonly is: "whole"; readonly min: number }
  | { readonly is: "switch" }
  | { readonly is: "choice"; readonly choices: readonly string[] }
  | { readonly is: "text"; readonly placeholder: string }
  | { readonly is: "texts"; readonly placeholder: string }
  /** Names of modules, an expression for whole paths, or `all-linear`. */
  | { readonly is: "targets" }
  | { readonly is: "wholes"; readonly min: number }
  | { readonly is: "numbers by name"; readonly wanted: string; accepts(value: number): boolean }
  /** What a function of its own reads of a word or a value; undefined where it is not wanted. */
  | {
      readonly is: "read";
      readonly placeholder: string;
      readonly wanted: string;
      read(value: unknown): unknown;
    };

/** One option of a method, as commands and configurations name it. */
export interface MethodOption<K extends string = string> {
  /** What the method's function calls it. */
  readonly sets: K;
  readonly value: ValueKind;
  readonly help: string;
  /** Where nothing is given: the function's own default. */
  readonly fallback?: unknown;
  /** It is an error if nothing is given. */
  readonly required?: boolean;
  /** Other names, as other tools have them. */
  readonly aliases?: readonly string[];
}

/** The options of a method by the names of PEFT's fields, or TRL's. */
export type MethodOptions<T extends object = Record<string, unknown>> = Readonly<
  Record<string, MethodOption<keyof T & string>>
>;

// Options that several methods have.

/** Which layers are left alone, and what is trained whole beside the adapter. */
export const BESIDE_OPTIONS: MethodOptions<{ excludeModules: unknown; modulesToSave: unknown }> = {
  exclude_modules: {
    sets: "excludeModules",
    value: { is: "targets" },
    help: "layers of these to leave alone: names separated by commas, or an expression for whole paths",
  },
  modules_to_save: {
    sets: "modulesToSave",
    value: { is: "texts", placeholder: "name" },
    help: "modules that are trained whole and saved with the adapter, by the end of their paths; the head of the task always is",
  },
};

/** Which layers are adapted. `fallback`: where none are named. */
export const targetOption = (what: string, fallback?: string): MethodOptions<{ targetModules: unknown }> => ({
  target_modules: {
    sets: "targetModules",
    value: { is: "targets" },
    fallback,
    help: `${what}: names separated by commas, ${fallback === undefined ? "or an expression for whole paths; by default PEFT's for the model's type" : "an expression for whole paths, or all-linear"}`,
    aliases: ["lora_target_modules"],
  },
});

/** Which of the model's layers are adapted, by their numbers. */
export const LAYER_OPTIONS: MethodOptions<{ layersToTransform: unknown; layersPattern: unknown }> = {
  layers_to_transform: {
    sets: "layersToTransform",
    value: { is: "wholes", min: 0 },
    help: "adapt these layers only, by their numbers; for target_modules that are names",
  },
  layers_pattern: {
    sets: "layersPattern",
    value: { is: "texts", placeholder: "name" },
    help: "what the list of the layers is called, such as layers or h; by default the first number in a path counts",
  },
};

/** Ranks and alphas other than the method's: `rank` and `alpha` are the names of these two. */
export const patternOptions = (
  rank: string,
  alpha: string,
): MethodOptions<{ rankPattern: unknown; alphaPattern: unknown }> => ({
  rank_pattern: {
    sets: "rankPattern",
    value: {
      is: "numbers by name",
      wanted: "a whole number of at least 1",
      accepts: (x) => Number.isSafeInteger(x) && x >= 1,
    },
    help: `ranks other than ${rank}, by names or expressions of layers; the first that matches counts`,
  },
  alpha_pattern: {
    sets: "alphaPattern",
    value: {
      is: "numbers by name",
      wanted: `a number${inWords(FACTOR)}`,
      accepts: (x) => isWithin(x, FACTOR),
    },
    help: `alphas other than ${alpha}, in the same way`,
  },
});

/** A probability of leaving something out. */
export const CHANCE: ValueKind = { is: "number", bounds: { min: 0, below: 1 } };
