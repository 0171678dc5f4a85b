import { adalora } from "../../src/adapters/adalora/adalora.ts";
import type { Adapter } from "../../src/adapters/adapter.ts";
import { beft } from "../../src/adapters/beft/beft.ts";
import { bottleneck } from "../../src/adapters/bottleneck/bottleneck.ts";
import { ia3 } from "../../src/adapters/ia3/ia3.ts";
import { lnTuning } from "../../src/adapters/ln-tuning/ln-tuning.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import { loha } from "../../src/adapters/lycoris/loha.ts";
import { lokr } from "../../src/adapters/lycoris/lokr.ts";
import type { Method } from "../../src/adapters/method.ts";
import { oft } from "../../src/adapters/oft/oft.ts";
import { pTuning } from "../../src/adapters/prompts/p-tuning.ts";
import { prefixTuning } from "../../src/adapters/prompts/prefix-tuning.ts";
import { promptTuning } from "../../src/adapters/prompts/prompt-tuning.ts";
import { vera } from "../../src/adapters/vera/vera.ts";
import type { LayerReplication } from "../../src/nn/replicate.ts";
import { holdNorms } from "../support/dora.ts";

/** What the contract needs to know of a method; its fixture in test/fixtures/methods is by PEFT (make_methods.py). */
export interface ContractCase {
  /** Name of the method in the registry, and of its fixture unless one is given. */
  readonly method: string;
  readonly fixture?: string;
  /** Fixture of the base model; `llama-gqa` unless given. */
  readonly base?: string;
  /** It predicts masked tokens. */
  readonly masked?: true;
  /** How the base's layers are stacked anew for it. */
  readonly layerReplication?: LayerReplication;
  /** How far its merged form may be from it, where the base's number format is a coarse one. */
  readonly mergeTolerance?: number;
  /**
   * How far a new adapter may be from the base: 1e-6 unless given. More where a layer of bf16 weights that gets a branch runs
   * another kernel, which adds in another order: on a GPU's profile 8 units in the last place of the hidden state were measured.
   */
  readonly startTolerance?: number;
  /** The method with the options of the fixture. */
  make(): Method;
  /** Why a new adapter changes the model, of methods that do; the others leave it as it is. */
  readonly changesAtStart?: string;
  /**
   * Makes what sets the values right that the backward pass takes for constants, after a parameter was changed by hand:
   * central differences would see them change.
   */
  holdConstants?(adapter: Adapter): Promise<(changed: string) => Promise<void>>;
  /** What is trained lies in `network.safetensors` of the fixture: the adapter's file has what that computes. */
  readonly network?: true;
  /** Of central differences: larger where changes are small, as behind an LSTM, and smaller where there are kinks. */
  readonly step?: number;
  /** Why there is no merged form, of methods that have none. */
  readonly unmergeable?: string;
}

/** LoRA with each of its options. */
export const LORA_CASES: readonly ContractCase[] = [
  {
    method: "lora",
    make: () => lora({ r: 2, alpha: 4, targetModules: ["q_proj", "v_proj", "down_proj"] }),
  },
  {
    method: "lora",
    fixture: "lora-replicated",
    layerReplication: [
      [0, 2],
      [0, 1],
    ],
    make: () => lora({ r: 2, alpha: 4, targetModules: ["q_proj", "v_proj", "down_proj"] }),
  },
  {
    method: "lora",
    fixture: "dora",
    holdConstants: holdNorms,
    make: () =>
      lora({ r: 2, alpha: 4, useDora: true, targetModules: ["q_proj", "k_proj", "v_proj", "down_proj"] }),
  },
  {
    method: "lora",
    fixture: "dora-embedding",
    holdConstants: holdNorms,
    make: () => lora({ r: 2, alpha: 4, useDora: true, targetModules: ["embed_tokens", "q_proj", "lm_head"] }),
  },
  {
    method: "lora",
    fixture: "lora-activated",
    make: () =>
      lora({
        r: 2,
        alpha: 4,
        targetModules: ["q_proj", "v_proj", "down_proj"],
        aloraInvocationTokens: [7, 9],
      }),
    unmergeable: "the update is for some tokens alone",
  },
  {
    method: "lora",
    fixture: "lora-biases",
    base: "llama-tied",
    mergeTolerance: 2e-2, // bf16
    make: () => lora({ r: 2, alpha: 4, loraBias: true, bias: "all", targetModules: ["q_proj", "v_proj"] }),
  },
  {
    method: "lora",
    fixture: "lora-embedding",
    make: () => lora({ r: 2, alpha: 4, targetModules: ["embed_tokens", "q_proj", "lm_head"] }),
  },
  {
    method: "lora",
    fixture: "lora-tied",
    base: "llama-tied",
    mergeTolerance: 5e-2, // bf16
    make: () => lora({ r: 2, alpha: 4, targetModules: ["embed_tokens", "q_proj"], ensureWeightTying: true }),
  },
  {
    method: "lora",
    fixture: "lora-tied-whole",
    base: "llama-tied",
    startTolerance: 2e-6,
    mergeTolerance: 5e-2, // bf16
    make: () =>
      lora({
        r: 2,
        alpha: 4,
        targetModules: ["q_proj"],
        modulesToSave: ["embed_tokens"],
        ensureWeightTying: true,
      }),
  },
  {
    method: "lora",
    fixture: "lora-head-alone",
    base: "llama-tied",
    startTolerance: 2e-6,
    mergeTolerance: 5e-2, // bf16
    make: () => lora({ r: 2, alpha: 4, targetModules: ["q_proj"], modulesToSave: ["lm_head"] }),
  },
  {
    method: "lora",
    fixture: "lora-tokens",
    make: () =>
      lora({
        r: 2,
        alpha: 4,
        targetModules: ["q_proj"],
        trainableTokenIndices: { embed_tokens: [5, 1, 40], lm_head: [3, 5] },
      }),
  },
  {
    method: "lora",
    fixture: "lora-tokens-tied",
    base: "llama-tied",
    mergeTolerance: 5e-2, // bf16
    make: () => lora({ r: 2, alpha: 4, targetModules: ["q_proj"], trainableTokenIndices: [5, 1, 40] }),
  },
];

/** Other products in place of LoRA's: LoHa, LoKr, OFT. */
export const WEIGHT_CASES: readonly ContractCase[] = [
  {
    method: "loha",
    make: () =>
      loha({
        r: 2,
        alpha: 3,
        targetModules: ["q_proj", "v_proj"],
        rankPattern: { "layers.1.self_attn.v_proj": 3 },
      }),
  },
  {
    method: "oft",
    make: () => oft({ oftBlockSize: 4, targetModules: ["q_proj", "v_proj", "down_proj"] }),
  },
  {
    method: "oft",
    fixture: "oft-exact",
    make: () =>
      oft({ r: 2, useCayleyNeumann: false, blockShare: true, targetModules: ["q_proj", "down_proj"] }),
  },
  {
    method: "lokr",
    make: () =>
      lokr({
        r: 2,
        alpha: 3,
        targetModules: ["q_proj", "v_proj", "down_proj"],
        rankPattern: { v_proj: 4 },
      }),
  },
  {
    method: "lokr",
    fixture: "lokr-both",
    make: () =>
      lokr({
        r: 1,
        alpha: 2,
        targetModules: ["q_proj", "up_proj"],
        decomposeBoth: true,
        decomposeFactor: 8,
      }),
  },
];

/** AdaLoRA and VeRA, and methods that train vectors: scales, norms, biases. */
export const LAYER_CASES: readonly ContractCase[] = [
  {
    method: "adalora",
    make: () =>
      adalora({
        ...{ initR: 4, targetR: 1, alpha: 8, tinit: 1, tfinal: 2, deltaT: 2, totalStep: 10 },
        targetModules: ["q_proj", "v_proj", "down_proj"],
      }),
  },
  { method: "ln_tuning", make: () => lnTuning() },
  {
    method: "beft",
    base: "llama-tied",
    mergeTolerance: 2e-2, // bf16
    make: () => beft({ targetModules: ["q_proj", "v_proj"] }),
  },
  { method: "vera", make: () => vera({ r: 4, targetModules: ["q_proj", "v_proj", "down_proj"] }) },
  { method: "ia3", make: () => ia3({ targetModules: ["k_proj", "v_proj", "down_proj"] }) },
];

/** Virtual tokens. */
export const PROMPT_CASES: readonly ContractCase[] = [
  {
    method: "prompt_tuning",
    make: () => promptTuning({ numVirtualTokens: 3 }),
    changesAtStart: "a new prompt changes what the model says",
    unmergeable: "PROMPT_TUNING has no merged form",
  },
  {
    method: "prefix_tuning",
    make: () => prefixTuning({ numVirtualTokens: 3 }),
    changesAtStart: "a new prefix changes what the model says",
    unmergeable: "PREFIX_TUNING has no merged form",
  },
  {
    method: "p_tuning",
    network: true,
    make: () => pTuning({ numVirtualTokens: 3, encoderHiddenSize: 8 }),
    changesAtStart: "a new prompt changes what the model says",
    unmergeable: "P_TUNING has no merged form",
  },
  {
    method: "p_tuning",
    fixture: "p_tuning-lstm",
    network: true,
    step: 5e-2,
    make: () => pTuning({ numVirtualTokens: 3, encoderHiddenSize: 4, encoderReparameterizationType: "LSTM" }),
    changesAtStart: "a new prompt changes what the model says",
    unmergeable: "P_TUNING has no merged form",
  },
  {
    method: "prefix_tuning",
    fixture: "prefix_tuning-projected",
    network: true,
    make: () => prefixTuning({ numVirtualTokens: 3, prefixProjection: true, encoderHiddenSize: 4 }),
    changesAtStart: "a new prefix changes what the model says",
    unmergeable: "PREFIX_TUNING has no merged form",
  },
];

const SMALL_START = "AdapterHub's start has a small effect";
const NO_MERGED_FORM = { unmergeable: "BOTTLENECK has no merged form" } as const;

/** Networks behind or beside attention and MLP; the fixtures are of make_bottleneck.py. */
export const BRANCH_CASES: readonly ContractCase[] = [
  {
    method: "bottleneck",
    make: () => bottleneck({ reductionFactor: 4 }),
    changesAtStart: SMALL_START,
    ...NO_MERGED_FORM,
  },
  {
    method: "bottleneck",
    fixture: "bottleneck-double",
    base: "tasks/gpt2",
    make: () => bottleneck({ adapterConfig: "houlsby", reductionFactor: { 0: 8, default: 6 } }),
    changesAtStart: SMALL_START,
    ...NO_MERGED_FORM,
  },
  {
    method: "bottleneck",
    fixture: "bottleneck-parallel",
    make: () => bottleneck({ adapterConfig: "scaled_parallel", reductionFactor: 8 }),
    ...NO_MERGED_FORM,
  },
  {
    method: "bottleneck",
    fixture: "bottleneck-normed",
    base: "tasks/gpt2",
    make: () =>
      bottleneck({
        ...{ mhAdapter: true, reductionFactor: 8, lnAfter: true, adapterResidualBeforeLn: true },
        ...{ scaling: "channel", leaveOut: [0] },
      }),
    changesAtStart: SMALL_START,
    ...NO_MERGED_FORM,
  },
  {
    method: "bottleneck",
    fixture: "bottleneck-bert",
    base: "tasks/bert-masked",
    masked: true,
    make: () =>
      bottleneck({ mhAdapter: true, reductionFactor: 4, residualBeforeLn: "post_add", nonLinearity: "gelu" }),
    changesAtStart: SMALL_START,
    ...NO_MERGED_FORM,
  },
  {
    method: "bottleneck",
    fixture: "bottleneck-roberta",
    base: "tasks/roberta-masked",
    masked: true,
    make: () =>
      bottleneck({ adapterConfig: "houlsby", reductionFactor: 4, lnAfter: true, residualBeforeLn: false }),
    changesAtStart: SMALL_START,
    ...NO_MERGED_FORM,
  },
  {
    method: "bottleneck",
    fixture: "bottleneck-distilbert",
    base: "tasks/distilbert-masked",
    masked: true,
    step: 1e-3, // relu has a kink, and the factor is 4
    make: () => bottleneck({ adapterConfig: "parallel", mhAdapter: true, reductionFactor: 4 }),
    ...NO_MERGED_FORM,
  },
];

/** Every method of the registry; another one adds its line to one of the lists. They are files of their own, which run side by side. */
export const CONTRACT_CASES: readonly ContractCase[] = [
  ...LORA_CASES,
  ...LAYER_CASES,
  ...WEIGHT_CASES,
  ...PROMPT_CASES,
  ...BRANCH_CASES,
];
