/** The bundled model: a Llama of about one million parameters. */
export const MODEL_CONFIG = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  vocab_size: 640,
  hidden_size: 128,
  intermediate_size: 448,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 32,
  hidden_act: "silu",
  max_position_embeddings: 256,
  rms_norm_eps: 1e-5,
  rope_theta: 500_000,
  tie_word_embeddings: true,
  attention_bias: false,
  mlp_bias: false,
  initializer_range: 0.04,
  bos_token_id: 0,
  eos_token_id: 0,
  pad_token_id: 0,
} as const;

/** Size of the tokenizer. */
export const VOCABULARY = 640;

/** How the bundled model is trained, all of its parameters, on generated text. */
export const PRETRAINING = {
  seed: 1,
  /** Each is seen once. */
  documents: 24_000,
  batchSize: 16,
  learningRate: 1e-3,
  warmupSteps: 100,
  betas: [0.9, 0.99],
} as const;

/** What the demo does with it. */
export const DEMO = {
  train: 800,
  test: 20,
  r: 8,
  alpha: 16,
  maxSteps: 80,
  batchSize: 8,
  learningRate: 8e-3,
  warmupSteps: 5,
};

/** What the demo of chats does with it. */
export const CHAT_DEMO = {
  train: 200,
  test: 20,
  r: 8,
  alpha: 16,
  epochs: 8,
  batchSize: 8,
  learningRate: 5e-3,
  warmupSteps: 5,
};
