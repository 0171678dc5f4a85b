import { isLora, lora } from "../../adapters/lora/lora.ts";
import type { OffloadedLayers } from "../../load/offload.ts";
import type { QuantizationFormat } from "../../load/quantization.ts";
import type { Task } from "../../models/model.ts";
import type { Scenario } from "./scenario.ts";
import { largestThatFits } from "./search.ts";

/** A change that saves memory. */
export interface Advice {
  /** What is done. */
  readonly change:
    | "accumulate"
    | "checkpoint"
    | "round activations"
    | "shorten"
    | "lower the rank"
    | "quantise"
    | "offload";
  /** What to set, by the names of the options; with all of the advice before. */
  readonly settings: Readonly<Record<string, number | string | boolean>>;
  /** Bytes of the device that the run takes then. */
  readonly total: number;
  /** It runs then, and fits into the memory, where that is known. */
  readonly fits: boolean;
  /** What stays on the host then, where something does. */
  readonly offload?: OffloadedLayers | undefined;
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

/** By what they cost: time first, then what the adapter can learn, then the precision of the base, then much time. */
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
    "round activations",
    (scenario) => {
      if (scenario.activationBits === 8 || scenario.precision === "mixed") return undefined;
      const settings = { activationBits: 8 } as const;
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
  [
    "offload",
    (scenario) => {
      if (scenario.offload === true) return undefined;
      const settings = { offload: true };
      return { settings, scenario: { ...scenario, ...settings } };
    },
  ],
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

/** What a scenario comes to. */
type Judgement = Omit<Advice, "change" | "settings">;

/** How changes are judged. */
interface Judging {
  /** Measures a scenario, and says whether it fits. */
  readonly judge: (scenario: Scenario) => Promise<Judgement>;
  /** Bytes that there are, where that is known. */
  readonly memory: number | undefined;
  /** No more is needed where it fits. */
  readonly stops: boolean;
  /** The checkpoint itself is, and is not quantised again. */
  readonly isQuantised: boolean;
}

/**
 * Changes that save memory, each on top of those before it.
 * @param total bytes without any
 */
export async function adviceFor(
  scenario: Scenario,
  task: Task,
  total: number,
  { judge, memory, stops, isQuantised }: Judging,
): Promise<Advice[]> {
  const advice: Advice[] = [];
  let [current, least] = [scenario, total];
  for (const [change, make] of CHANGES) {
    const made = change === "quantise" && isQuantised ? undefined : make(current, task);
    if (!made) continue;
    const { total, fits, offload } = await judge(made.scenario);
    if (total > (1 - WORTH) * least) continue;
    [current, least] = [made.scenario, total];
    const isLess = change === "offload" && fits && stops;
    const fewer = isLess ? await fewestOffloaded(current, offload?.layers ?? 0, judge, memory) : undefined;
    advice.push(fewer ?? { change, settings: made.settings, total, fits, ...(offload && { offload }) });
    if (fits && stops) break;
  }
  return advice;
}

/** Layers that stay on the device cost no time: as few as will do go. */
async function fewestOffloaded(
  scenario: Scenario,
  layers: number,
  judge: Judging["judge"],
  memory: number | undefined,
): Promise<Advice | undefined> {
  const known = new Map<number, Judgement>();
  const measure = async (staying: number) => {
    const { total, fits, offload } = await judge({ ...scenario, offload: layers - staying });
    known.set(staying, { total, fits, offload });
    return { total, fits };
  };
  const staying = await largestThatFits(measure, { least: 1, most: layers - 1, room: memory });
  const judged = staying === undefined ? undefined : known.get(staying);
  return judged && { change: "offload", settings: { offload: layers - (staying ?? 0) }, ...judged };
}
