import { COMBINATION_TYPES } from "../../adapters/combine/combine.ts";
import { choice, flag, optionalNumber, optionalText, text, texts } from "../options.ts";
import { MODEL_OPTIONS, SEED } from "./model.ts";

/** `webgpu-lora combine`. */
export const COMBINE_OPTIONS = {
  adapters: texts({
    placeholder: "ref[=weight]",
    help: "folders, URLs or hub ids of PEFT LoRA adapters, each with its weight, such as a=0.5 or b=-1; also as plain words",
  }),
  combination_type: choice({
    choices: COMBINATION_TYPES,
    fallback: "cat",
    help: "how they are combined, as in PEFT's add_weighted_adapter: cat is exact, its rank the sum of the ranks; svd is the closest of --svd-rank; the others approximate or choose",
  }),
  svd_rank: optionalNumber({
    above: 0,
    help: "of svd and types that end in _svd: the rank; for svd also a share below 1 of the squared norm that must be kept",
    aliases: ["rank"],
  }),
  svd_clamp: optionalNumber({
    above: 0,
    max: 1,
    help: "of the same types: the quantile of all values that these are cut off at",
  }),
  density: optionalNumber({
    above: 0,
    max: 1,
    help: "of ties, dare_* and magnitude_prune*: the share of the values that is kept",
  }),
  majority_sign_method: choice({
    choices: ["total", "frequency"],
    fallback: undefined,
    help: "how ties votes on signs: by the sum of the values, which is usual, or by how many there are of each",
  }),
  seed: SEED,
  base_model: optionalText({
    placeholder: "name",
    help: "the base model of the result, where the adapters name different ones",
    aliases: ["base_model_name_or_path"],
  }),
  output_dir: text({
    placeholder: "folder",
    help: "where the adapter is saved",
    aliases: ["output", "save_path"],
  }),
  token: MODEL_OPTIONS.token,
  verify: MODEL_OPTIONS.verify,
  json: flag({ fallback: false, help: "print one JSON object with every layer" }),
};
