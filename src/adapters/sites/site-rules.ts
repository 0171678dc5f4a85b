import { either, flag, integer, listOf, type Rules, text } from "../../util/options.ts";
import type { SiteOptions } from "./choose-sites.ts";

/** What a list of names has to be. */
export const NAMES = listOf(text(), "a list of names");

/** Names, or an expression for whole paths. */
export const NAMES_OR_EXPRESSION = either(NAMES, { ...text(), wanted: "an expression" });

const LAYER = integer({ min: 0 });

/** What the options have to be that choose where a method goes and what is trained whole beside it. */
export const SITE_RULES: Rules<SiteOptions> = {
  targetModules: { ...NAMES_OR_EXPRESSION, aliases: ["lora_target_modules", "targets", "modules"] },
  excludeModules: NAMES_OR_EXPRESSION,
  layersToTransform: either(LAYER, listOf(LAYER, "a list of them")),
  layersPattern: either(NAMES, text()),
  modulesToSave: NAMES,
  trainHead: flag(),
};
