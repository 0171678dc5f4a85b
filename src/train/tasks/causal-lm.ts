import { evaluate } from "../evaluate.ts";
import { languageModelling } from "../language-modelling.ts";
import { sequencesOf } from "../row-sequences.ts";
import type { TaskKind } from "./task-kind.ts";

/** Predicting each token from those before it. */
export const CAUSAL_LM: TaskKind<"causal-lm"> = {
  async prepare(model, rows, options) {
    const { sequences: items, ...more } = await sequencesOf(model, rows, options);
    return { items, ...more };
  },
  objective: languageModelling,
  evaluate: (model, items, _, how) => evaluate(model, items, how),
};
