import { fromArray, type Tensor } from "../../gpu/tensor.ts";
import { scale } from "../../kernels/elementwise.ts";
import { embedding } from "../../kernels/embedding.ts";
import { isEmbedding } from "../../nn/embedding.ts";
import { modules } from "../../nn/module.ts";
import { fail, failAll } from "../../util/fail.ts";
import { checkOptions, integer, oneOf, type Rules, required, words } from "../../util/options.ts";
import type { Random } from "../../util/random.ts";
import type { Adaptable, Method } from "../method.ts";
import { promptSizes } from "./prompt-fields.ts";

/** How the vectors of a prompt begin, as PEFT names it. */
export const PROMPT_STARTS = ["RANDOM", "TEXT", "SAMPLE_VOCAB"] as const;

/** Options of prompt tuning; names and meaning as in PEFT's PromptTuningConfig, in camel case. */
export interface PromptTuningOptions {
  /** Vectors that stand before every text. */
  numVirtualTokens: number;
  /** From N(0, 1), from the words of a text, or from words by chance; `RANDOM` unless given. */
  promptTuningInit?: (typeof PROMPT_STARTS)[number];
  /** The text, for `TEXT`: cut or repeated to the number of vectors. */
  promptTuningInitText?: string;
  /** Where PEFT finds the tokenizer of the text; the model's own place unless given. Here the model's tokenizer reads it. */
  tokenizerNameOrPath?: string;
}

/** Prompt tuning with its options. */
export interface PromptTuning extends Method {
  /** PEFT's `peft_type`. */
  readonly type: "PROMPT_TUNING";
  /** As given. */
  readonly options: PromptTuningOptions;
}

const RULES: Rules<PromptTuningOptions> = {
  numVirtualTokens: required(integer({ min: 1, max: 2 ** 16 }, "num_virtual_tokens")),
  promptTuningInit: oneOf(PROMPT_STARTS, "prompt_tuning_init"),
  promptTuningInitText: words("prompt_tuning_init_text"),
  tokenizerNameOrPath: words("tokenizer_name_or_path"),
};

/**
 * Prompt tuning: trained vectors stand before the embeddings of every text, and take its first positions. Lester et al. 2021,
 * arXiv 2104.08691; as in PEFT `tuners/prompt_tuning/model.py`.
 * @throws LoraError for an option that there is not or a value that is not wanted
 */
export function promptTuning(options: PromptTuningOptions): PromptTuning {
  checkOptions("promptTuning", options, RULES);
  const { numVirtualTokens: count, promptTuningInit = "RANDOM", promptTuningInitText } = options;
  const isText = promptTuningInit === "TEXT";
  failAll(
    "promptTuning",
    [
      ...(isText && promptTuningInitText === undefined ? ["promptTuningInit is TEXT without a text"] : []),
      ...(!isText && promptTuningInitText !== undefined
        ? [`promptTuningInitText is given, and promptTuningInit is ${promptTuningInit}`]
        : []),
    ],
    'give both, promptTuningInit: "TEXT" and promptTuningInitText, or neither',
  );
  return {
    ...storedPrompt(options),
    shared(model) {
      const { token_dim } = promptSizes("promptTuning", model, "embeddings");
      return {
        prompt_embeddings: {
          shape: [count, token_dim],
          begin(random) {
            if (promptTuningInit === "RANDOM") return normals(count * token_dim, random);
            return wordVectors(
              model,
              isText ? textIds(model, promptTuningInitText ?? "", count) : undefined,
              count,
              random,
            );
          },
        },
      };
    },
  };
}

/** The same for a prompt whose values come from a file. */
export function storedPrompt(options: PromptTuningOptions): PromptTuning {
  const { numVirtualTokens: count } = options;
  return {
    type: "PROMPT_TUNING",
    options,
    sites: () => [],
    tensors: () => ({}),
    shared(model) {
      const { token_dim } = promptSizes("promptTuning", model, "embeddings");
      return { prompt_embeddings: { shape: [count, token_dim] } };
    },
    virtual: ({ prompt_embeddings }) => ({
      count,
      isRotated: true,
      compute: () => ({ embeddings: prompt_embeddings as Tensor }),
    }),
  };
}

/** Values of N(0, 1), as those of PyTorch's embeddings. */
export function normals(count: number, random: Random): Float32Array {
  return Float32Array.from({ length: count }, () => random.normal());
}

/** The ids of a text, cut or repeated to a number of them. */
function textIds({ tokenizer, name }: Adaptable, text: string, count: number): number[] {
  if (!tokenizer) {
    return fail("promptTuning", `${name} has no tokenizer for promptTuningInitText`, "begin RANDOM");
  }
  const ids = tokenizer.encode(text);
  if (ids.length === 0) fail("promptTuning", "promptTuningInitText has no token", "give another text");
  return Array.from({ length: count }, (_, i) => ids[i % ids.length] as number);
}

/** The vectors of words, as the model's layers see them: of these ids, or of some by chance. */
function wordVectors(
  { root, device, config }: Adaptable,
  ids: readonly number[] | undefined,
  count: number,
  random: Random,
): Tensor {
  const table = [...modules(root)].find(isEmbedding);
  if (!table) return fail("promptTuning", "the model has no embedding of words", "begin RANDOM");
  const { weight } = table.tensors;
  const chosen = ids ?? Array.from({ length: count }, () => random.integer(weight.rows));
  const vectors = embedding(weight, fromArray(device, Uint32Array.from(chosen), [count]));
  const { embeddingScale = 1, scalesInputs = false } = config ?? {};
  return scalesInputs || embeddingScale === 1 ? vectors : scale(vectors, embeddingScale);
}
