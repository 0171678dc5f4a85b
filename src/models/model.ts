import type { HeadOptions } from "../autograd/loss.ts";
import type { Device } from "../gpu/device.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { KvCache } from "../nn/cache.ts";
import type { Linear } from "../nn/linear.ts";
import type { Context, Module } from "../nn/module.ts";
import type { PoolingMode } from "../nn/pooling-modes.ts";
import type { LayerReplication } from "../nn/replicate.ts";
import type { Renames } from "../nn/weights.ts";
import { fail } from "../util/fail.ts";
import type { Adaptive } from "./adaptable.ts";

/** What a model is for: which head it has, and which loss it is trained with. */
export type Task = keyof ModelOf;

/** The kind of model that belongs to each task. */
export interface ModelOf {
  "causal-lm": LanguageModel;
  "masked-lm": MaskedLanguageModel;
  "sequence-classification": TextClassifier<"sequence-classification">;
  "token-classification": TextClassifier<"token-classification">;
  "sentence-embedding": SentenceEncoder;
  "image-classification": ImageClassifier;
}

const NAMED: Record<Task, true> = {
  "causal-lm": true,
  "masked-lm": true,
  "sequence-classification": true,
  "token-classification": true,
  "sentence-embedding": true,
  "image-classification": true,
};

/** All tasks. */
export const TASKS = Object.keys(NAMED) as readonly Task[];

/** A model for any task; `task` says which. */
export type AnyModel = ModelOf[Task];

/** What every model has. */
export interface BaseModel<T extends string = Task> extends Adaptive {
  readonly task: T;
  readonly device: Device;
  readonly root: Module;
  /** Sizes that callers need. */
  readonly config: { hiddenSize: number; numLayers: number };
  /** How its layers were stacked anew, which copies share their weights in; absent where they are as in its files. */
  readonly layerReplication?: LayerReplication | undefined;
  /** Linear layers that PEFT adapts where a configuration names none. */
  readonly defaultTargets: readonly string[];
  /** Names of modules that are trained whole with an adapter: the head's. */
  readonly headModules: readonly string[];
  /** Paths of layers that the class in transformers has and this model does without, such as an unused pooler. */
  readonly absentModules?: readonly string[];
  /** Name of the class in transformers, such as `LlamaForCausalLM`. */
  readonly architecture: string;
  /** `model_type` of the config. */
  readonly modelType: string;
  /** Names in files that stand for tensors and modules of this model. */
  readonly renames: Renames;
  /** Frees the model's GPU memory; it must not be used afterwards. */
  release(): void;
}

/** A model that reads tokens. */
export interface TextModel<T extends string = Task> extends BaseModel<T> {
  readonly config: {
    vocabSize: number;
    maxPositions: number;
    hiddenSize: number;
    numLayers: number;
    /** Kinds of segments, where the model tells them apart. */
    tokenTypes?: number;
  };
}

/** A model whose head gives one score for each label. */
export interface Classifier {
  /** Names of the classes, by index; one alone is a score, such as a reward. */
  readonly labels: readonly string[];
}

/** A model of masked tokens: an encoder that fills gaps. */
export interface MaskedLanguageModel extends TextModel<"masked-lm"> {
  /** The output layer shares the embedding's matrix. */
  readonly tied: boolean;
  /** Gives the scores of the vocabulary; a module of the tree. */
  readonly head: Linear;
  /** What is done to the output layer's scores. */
  readonly headOptions?: HeadOptions;
  /** ids `[B, T]` → states `[B, T, hidden]` before the output layer. */
  hidden(ids: Tensor, context: Context): Tensor;
  /** States `[..., hidden]` → logits `[..., V]`. */
  logits(hidden: Tensor, context?: Partial<Context>): Tensor;
}

/** A classifier of whole texts (logits `[N, C]`, a row for each document) or of each of their tokens (`[B, T, C]`). */
export interface TextClassifier<T extends string> extends TextModel<T>, Classifier {
  /** ids `[B, T]` → logits. */
  logits(ids: Tensor, context: Context): Tensor;
}

/** A classifier of images. */
export interface ImageClassifier extends BaseModel<"image-classification">, Classifier {
  /** Size of the images that it takes, in pixels. */
  readonly image: { channels: number; height: number; width: number };
  /** pixels f32 `[B, channels, height, width]`, normalised → logits `[B, C]`. */
  logits(pixels: Tensor, context: Omit<Context, "geometry">): Tensor;
}

/** A model that gives texts a vector each. */
export interface SentenceEncoder extends TextModel<"sentence-embedding"> {
  /** How the tokens' states become one vector. */
  readonly pooling: PoolingMode;
  /** ids `[B, T]` → vectors of length 1, one for each document, `[N, hidden]`. */
  embed(ids: Tensor, context: Context): Tensor;
  /** The same with another pooling, to be put in the place of these. */
  withPooling(mode: PoolingMode): Pick<SentenceEncoder, "pooling" | "embed" | "withPooling">;
}

/** A decoder-only language model: what training and generation need of any architecture. */
export interface LanguageModel extends TextModel<"causal-lm"> {
  /** Sizes that callers need, those of attention among them. */
  readonly config: TextModel["config"] & {
    /** Heads of queries of a layer. */
    numHeads: number;
    /** Heads of keys and values; as many as of queries unless given. */
    numKvHeads?: number;
    /** Columns of a head; hiddenSize / numHeads unless given. */
    headDim?: number;
  };
  /** The output layer shares the embedding's matrix. */
  readonly tied: boolean;
  /** Gives the scores of the vocabulary; a module of the tree. */
  readonly head: Linear;
  /** What the output layer does to its product with the hidden states. */
  readonly headOptions?: HeadOptions;
  /** ids, i32 or u32, `[B, T]` → final hidden states `[B, T, hidden]`, normalised, before the output layer. */
  hidden(ids: Tensor, context: Context): Tensor;
  /** Hidden states `[..., hidden]` → logits `[..., V]`. */
  logits(hidden: Tensor, context?: Partial<Context>): Tensor;
  /** A cache for generating `batchSize` sequences (1 unless given) of at most `capacity` tokens. */
  newCache(capacity: number, batchSize?: number): KvCache;
  /**
   * Whether keys cached when the sequence had `past` tokens are right for one of `length` tokens; always, unless given.
   * Where they are not, the whole sequence has to pass again.
   */
  keepsCache?(past: number, length: number): boolean;
  /** Whether texts of two lengths are computed in the same way, as far as they are equal; always, unless given. */
  rotatesAlike?(a: number, b: number): boolean;
  /**
   * Tables that texts of at most so many tokens take, virtual ones included: all that a pass looks at on the host beside the sizes of
   * its inputs, its cache and its adapters. Absent where it looks at more.
   */
  tables?(length: number): readonly unknown[];
  /** The passes of which that is true: a model that somebody has given other functions may look at more. */
  readonly ownPasses?: Pick<LanguageModel, "hidden" | "logits">;
}

/** Positions that a model has for a text: its virtual tokens take the others. */
export function freePositions({ config, adapters }: Pick<TextModel<Task>, "config" | "adapters">): number {
  return config.maxPositions - adapters.virtualTokens;
}

/**
 * The model as one of a certain task.
 * @throws LoraError where it is one of another
 */
export function requireTask<T extends Task>(model: AnyModel, task: T): ModelOf[T] {
  if (model.task === task) return model as ModelOf[T];
  return fail(model.architecture, `is a model for ${model.task}, wanted one for ${task}`, "name the task");
}
