import { replicatedOrder, replicationProblem } from "../nn/replicate.ts";
import type { Renames } from "../nn/weights.ts";
import { readActivation } from "./activation-names.ts";
import { type BertConfig, type BertHead, type BertNames, buildBert } from "./bert.ts";
import type { ConfigReader } from "./config-reader.ts";
import { type Family, family, type Replicable, type Ties } from "./family.ts";
import { readLabels } from "./labels.ts";

const BERT_LAYER = {
  layers: "encoder.layer",
  query: "attention.self.query",
  key: "attention.self.key",
  value: "attention.self.value",
  attentionBranch: "attention.output",
  mlpBranch: "output",
  attentionOutput: "attention.output.dense",
  attentionNorm: "attention.output.LayerNorm",
  up: "intermediate.dense",
  down: "output.dense",
  outputNorm: "output.LayerNorm",
  pooler: "pooler.dense",
};

const DISTILBERT_LAYER = {
  layers: "transformer.layer",
  query: "attention.q_lin",
  key: "attention.k_lin",
  value: "attention.v_lin",
  attentionBranch: "attention_adapters",
  mlpBranch: "output_adapters",
  attentionOutput: "attention.out_lin",
  attentionNorm: "sa_layer_norm",
  up: "ffn.lin1",
  down: "ffn.lin2",
  outputNorm: "output_layer_norm",
};

/** The output layer of a masked language model: the layer, and its bias as files have it where it is tied. */
type Output = Pick<Extract<BertHead, { task: "masked-lm" }>, "decoder" | "bias">;

const BERT_OUTPUT: Output = { decoder: "cls.predictions.decoder", bias: "cls.predictions.bias" };
const ROBERTA_OUTPUT: Output = { decoder: "lm_head.decoder", bias: "lm_head.bias" };
const DISTILBERT_OUTPUT: Output = { decoder: "vocab_projector", bias: "vocab_projector.bias" };

/** Heads and poolers that a checkpoint may hold beside what a task needs. */
const OTHER_HEADS =
  /^(?:cls|lm_head|classifier|pre_classifier|qa_outputs|vocab_(?:transform|layer_norm|projector)|(?:\w+\.)?pooler)\./;

/** What the heads of a family are called, and what its config says beside the sizes. */
interface EncoderFamily {
  /** Classes in transformers are this and the name of the head. */
  className: string;
  modelType: string;
  body: string;
  defaultTargets: readonly string[];
  names: Omit<BertNames, "body">;
  heads: (c: ConfigReader) => readonly BertHead[];
  output: Output;
  read: (c: ConfigReader) => Omit<BertConfig, "names" | "head" | "tied" | "labels">;
}

const CLASSES: Readonly<Record<BertHead["task"], string>> = {
  "sequence-classification": "ForSequenceClassification",
  "token-classification": "ForTokenClassification",
  "masked-lm": "ForMaskedLM",
  "sentence-embedding": "Model",
};

/** Encoder families with each of their heads, by the architecture name in their configs. */
export const ENCODER_FAMILIES: Readonly<Record<string, Family>> = {
  ...withHeads({
    className: "Bert",
    modelType: "bert",
    body: "bert",
    defaultTargets: ["query", "value"],
    names: BERT_LAYER,
    output: BERT_OUTPUT,
    heads: (c) => [
      {
        task: "sequence-classification",
        ...{ path: "", hidden: "bert.pooler.dense", activation: "tanh", output: "classifier" },
      },
      { task: "token-classification", output: "classifier" },
      {
        task: "masked-lm",
        dense: "cls.predictions.transform.dense",
        activation: readActivation(c, "hidden_act", "gelu"),
        norm: "cls.predictions.transform.LayerNorm",
        ...BERT_OUTPUT,
      },
      { task: "sentence-embedding" },
    ],
    read: readBert,
  }),
  ...withHeads(robertaLike("Roberta", "roberta")),
  ...withHeads(robertaLike("XLMRoberta", "xlm-roberta")),
  ...withHeads({
    className: "DistilBert",
    modelType: "distilbert",
    body: "distilbert",
    defaultTargets: ["q_lin", "v_lin"],
    names: DISTILBERT_LAYER,
    output: DISTILBERT_OUTPUT,
    heads: (c) => [
      {
        task: "sequence-classification",
        ...{ path: "", hidden: "pre_classifier", activation: "relu", output: "classifier" },
      },
      { task: "token-classification", output: "classifier" },
      {
        task: "masked-lm",
        dense: "vocab_transform",
        activation: readActivation(c, "activation", "gelu"),
        norm: "vocab_layer_norm",
        ...DISTILBERT_OUTPUT,
      },
      { task: "sentence-embedding" },
    ],
    read: readDistilBert,
  }),
};

function robertaLike(className: string, modelType: string): EncoderFamily {
  return {
    className,
    modelType,
    body: "roberta",
    defaultTargets: ["query", "value"],
    names: BERT_LAYER,
    output: ROBERTA_OUTPUT,
    heads: () => [
      {
        task: "sequence-classification",
        ...{
          path: "classifier",
          hidden: "classifier.dense",
          activation: "tanh",
          output: "classifier.out_proj",
        },
      },
      { task: "token-classification", output: "classifier" },
      {
        task: "masked-lm",
        ...{ dense: "lm_head.dense", activation: "gelu", norm: "lm_head.layer_norm" },
        ...ROBERTA_OUTPUT,
      },
      { task: "sentence-embedding" },
    ],
    read: readRoberta,
  };
}

/** One entry for each head. */
function withHeads(parts: EncoderFamily): Record<string, Family> {
  const { className, modelType, defaultTargets } = parts;
  const tasks = Object.keys(CLASSES) as BertHead["task"][];
  const entries = tasks.map((task): [string, Family] => [
    `${className}${CLASSES[task]}`,
    family({
      ...{ modelType, task, defaultTargets, leftovers: OTHER_HEADS, build: buildBert },
      prefix: parts.body,
      ties: task === "masked-lm" ? tiesOf(parts) : [],
      renames: renamesOf(parts, task),
      read: (c) => readWithHead(c, parts, task),
      ...replicableWhere(parts, task),
    }),
  ]);
  return Object.fromEntries(entries);
}

/** PEFT finds the layers at `bert.encoder.layer`, or at `encoder.layer` of a model without a head; RoBERTa's others it does not. */
function replicableWhere({ body, names: { layers } }: EncoderFamily, task: BertHead["task"]) {
  if (layers !== "encoder.layer") return {};
  if (task === "sentence-embedding") return { replicable: replicableEncoder(layers) };
  return body === "bert" ? { replicable: replicableEncoder(`${body}.${layers}`) } : {};
}

function replicableEncoder(layers: string): Replicable<BertConfig> {
  return {
    layers,
    config(own, ranges) {
      return (
        replicationProblem(ranges, own.numLayers) ?? { ...own, numLayers: replicatedOrder(ranges).length }
      );
    },
  };
}

function tiesOf({ body, output: { decoder, bias } }: EncoderFamily): Ties {
  const weight = [`${decoder}.weight`, `${body}.embeddings.word_embeddings.weight`] as const;
  return bias === `${decoder}.bias` ? [weight] : [weight, [`${decoder}.bias`, bias]];
}

/** Names of TensorFlow's norms, and the prefix that a model without a head does not have. */
function renamesOf({ body }: EncoderFamily, task: BertHead["task"]): Renames {
  const norms = [
    [/LayerNorm\.gamma$/, "LayerNorm.weight"],
    [/LayerNorm\.beta$/, "LayerNorm.bias"],
  ] as const;
  if (task === "sentence-embedding") return [...norms, [new RegExp(`^${body}\\.`), ""]];
  return [...norms, [/^(?=(?:embeddings|encoder|transformer|pooler)\.)/, `${body}.`]];
}

function readWithHead(
  c: ConfigReader,
  { body, names, heads, read }: EncoderFamily,
  task: BertHead["task"],
): BertConfig {
  c.only("is_decoder", [false]);
  c.only("add_cross_attention", [false]);
  c.only("position_embedding_type", ["absolute"]);
  const tied = task !== "masked-lm" || c.boolean("tie_word_embeddings", true);
  c.ignore("tie_word_embeddings");
  const head = heads(c).find((head) => head.task === task) as BertHead;
  return {
    ...read(c),
    names: { ...names, body: task === "sentence-embedding" ? "" : body },
    head,
    tied,
    labels: task.endsWith("classification") ? readLabels(c, task === "sequence-classification" ? 1 : 2) : [],
  };
}

function readBert(c: ConfigReader): ReturnType<EncoderFamily["read"]> {
  const hiddenSize = c.size("hidden_size");
  c.ignore("directionality", "pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers");
  c.ignore("pooler_size_per_head", "pooler_type");
  return {
    vocabSize: c.size("vocab_size"),
    hiddenSize,
    intermediateSize: c.size("intermediate_size"),
    numLayers: c.layers("num_hidden_layers"),
    numHeads: c.heads("num_attention_heads", hiddenSize),
    maxPositions: c.size("max_position_embeddings", 512),
    firstPosition: 0,
    tokenTypes: c.size("type_vocab_size", 2),
    normEps: c.nonNegative("layer_norm_eps", 1e-12),
    activation: readActivation(c, "hidden_act", "gelu"),
  };
}

/** Positions are counted from the padding token's id, as in fairseq: the table's rows up to it are never used. */
function readRoberta(c: ConfigReader): ReturnType<EncoderFamily["read"]> {
  const sizes = readBert(c);
  const firstPosition = c.index("pad_token_id", 1) + 1;
  const maxPositions = sizes.maxPositions - firstPosition;
  if (maxPositions < 1) {
    c.reject("max_position_embeddings", `${sizes.maxPositions} leaves no position after pad_token_id`);
  }
  return { ...sizes, firstPosition, maxPositions };
}

function readDistilBert(c: ConfigReader): ReturnType<EncoderFamily["read"]> {
  c.ignore("sinusoidal_pos_embds", "tie_weights_"); // stored like learned ones
  const hiddenSize = c.size("dim");
  return {
    vocabSize: c.size("vocab_size"),
    hiddenSize,
    intermediateSize: c.size("hidden_dim"),
    numLayers: c.layers("n_layers"),
    numHeads: c.heads("n_heads", hiddenSize),
    maxPositions: c.size("max_position_embeddings", 512),
    firstPosition: 0,
    tokenTypes: 0,
    normEps: 1e-12,
    activation: readActivation(c, "activation", "gelu"),
  };
}
