import { isLora, lora } from "../../adapters/lora/lora.ts";
import type { QuantizationFormat } from "../../load/quantization.ts";
import type { Task } from "../../models/model.ts";
import type { Scenario } from "./scenario.ts";

/** A change that saves memory. */
export interface Advice {
  /** What is done. */
  readonly change: "accumulate" | "checkpoint" | "shorten" | "lower the rank" | "quantise";
  /** What to set, by the names of the options; with all of the advice before. */
  readonly settings: Readonly<Record<string, number | string | boolean>>;
  /** Bytes of the device that the run takes then. */
  readonly total: number;
  /** It runs then, and fits into the memory, where that is known. */
  readonly fits: boolean;
}

/** A change, or undefined where it makes no sense. */
type Change = (
  scenario: Scenario,
  task: Task,
) => { readonly settings: Advice["settings"]; readonly scenario: Scenario } | undefined;

/** Shorter rows than this are no advice. */
const SHORTEST = 128;
/** Lower ranks than this are none. */
const LOWEST_RANK = 4;

/** By what they cost: time first, then what the adapter can learn, then the precision of the base. */
const CHANGES: readonly (readonly [Advice["change"], Change])[] = [
  [
    "accumulate",
    (scenario, task) => {
      const { batchSize, gradientAccumulationSteps } = scenario;
      // A pair is compared with the others of its batch: a smaller batch is another loss.
      if (batchSize === 1 || task === "sentence-embedding") return undefined;
      const settings = { batchSize: 1, gradientAccumulationSteps: gradientAccumulationSteps * batchSize };
      return { settings, scenario: { ...scenario, ...settings } };
    },
  ],
  [
    "checkpoint",
    (scenario) => {
      if (scenario.gradientCheckpointing) return undefined;
      const settings = { gradientCheckpointing: true };
      return { settings, scenario: { ...scenario, ...settings } };
    },
  ],
  [
    "shorten",
    (scenario, task) => {
      const settings = { maxLength: Math.floor(scenario.maxLength / 2) };
      if (task === "image-classification" || settings.maxLength < SHORTEST) return undefined;
      return { settings, scenario: { ...scenario, ...settings } };
    },
  ],
  [
    "lower the rank",
    (scenario) => {
      const { method } = scenario;
      if (typeof method === "function" || !isLora(method)) return undefined;
      const r = Math.floor(method.options.r / 2);
      if (r < LOWEST_RANK) return undefined;
      return { settings: { r }, scenario: { ...scenario, method: lora({ ...method.options, r }) } };
    },
  ],
  ["quantise", quantised("int8")],
  ["quantise", quantised("nf4")],
];

function quantised(quantization: QuantizationFormat): Change {
  return (scenario) => {
    const is = scenario.quantization;
    const format = typeof is === "object" ? is.format : is;
    if (format !== undefined && !(format === "int8" && quantization === "nf4")) return undefined;
    return { settings: { quantization }, scenario: { ...scenario, quantization } };
  };
}

/** A change that saves less than this share is none. */
const WORTH = 0.005;

/**
 * Changes that save memory, each on top of those before it.
 * @param total bytes without any
 * @param judge measures a scenario, and says whether it fits
 * @param stops whether no more is needed where it fits
 */
export async function adviceFor(
  scenario: Scenario,
  task: Task,
  total: number,
  judge: (scenario: Scenario) => Promise<Pick<Advice, "total" | "fits">>,
  stops: boolean,
): Promise<Advice[]> {
  const advice: Advice[] = [];
  let [current, least] = [scenario, total];
  for (const [change, make] of CHANGES) {
    const made = make(current, task);
    if (!made) continue;
    const judged = await judge(made.scenario);
    if (judged.total > (1 - WORTH) * least) continue;
    [current, least] = [made.scenario, judged.total];
    advice.push({ change, settings: made.settings, ...judged });
    if (judged.fits && stops) break;
  }
  return advice;
}
