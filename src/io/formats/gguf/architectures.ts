/** How llama.cpp names the parts of an architecture, and what it stores otherwise than transformers. */
export interface GgufArchitecture {
  /** `general.architecture`. */
  readonly name: string;
  /** Modules of a layer, by their paths in it: llama.cpp's names behind `blk.N.`. */
  readonly layer: Readonly<Record<string, string>>;
  /**
   * Layers whose rows stand in another order in every head: llama.cpp rotates neighbouring rows in these architectures,
   * transformers row i and row i + half a head (`LlamaModel.permute` of llama.cpp's converter).
   */
  readonly permuted: readonly string[];
  /** Added to the weights of norms: 1 where transformers stores w − 1 and llama.cpp w. */
  readonly normOffset: 0 | 1;
}

/** Modules outside the layers. */
const MODEL: Readonly<Record<string, string>> = {
  "model.embed_tokens": "token_embd",
  "model.norm": "output_norm",
  lm_head: "output",
};

const LAYER = {
  input_layernorm: "attn_norm",
  "self_attn.q_proj": "attn_q",
  "self_attn.k_proj": "attn_k",
  "self_attn.v_proj": "attn_v",
  "self_attn.o_proj": "attn_output",
  post_attention_layernorm: "ffn_norm",
  "mlp.gate_proj": "ffn_gate",
  "mlp.up_proj": "ffn_up",
  "mlp.down_proj": "ffn_down",
};
const HEAD_NORMS = { "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm" };
const SANDWICH = {
  post_attention_layernorm: "post_attention_norm",
  pre_feedforward_layernorm: "ffn_norm",
  post_feedforward_layernorm: "post_ffw_norm",
};

const PLAIN: GgufArchitecture = { name: "", layer: LAYER, permuted: [], normOffset: 0 };
const LLAMA = { ...PLAIN, name: "llama", permuted: ["attn_q", "attn_k"] };

/** By `model_type` of the config. Names are those of llama.cpp's `gguf-py/gguf/tensor_mapping.py`. */
const ARCHITECTURES: Readonly<Record<string, GgufArchitecture>> = {
  llama: LLAMA,
  mistral: LLAMA,
  qwen2: { ...PLAIN, name: "qwen2" },
  qwen3: { ...PLAIN, name: "qwen3", layer: { ...LAYER, ...HEAD_NORMS } },
  gemma: { ...PLAIN, name: "gemma", normOffset: 1 },
  gemma2: { ...PLAIN, name: "gemma2", layer: { ...LAYER, ...SANDWICH }, normOffset: 1 },
  gemma3_text: {
    ...{ ...PLAIN, name: "gemma3", normOffset: 1 },
    layer: { ...LAYER, ...SANDWICH, ...HEAD_NORMS },
  },
  phi3: {
    ...{ ...PLAIN, name: "phi3" },
    layer: {
      input_layernorm: "attn_norm",
      "self_attn.qkv_proj": "attn_qkv",
      "self_attn.o_proj": "attn_output",
      post_attention_layernorm: "ffn_norm",
      "mlp.gate_up_proj": "ffn_up",
      "mlp.down_proj": "ffn_down",
    },
  },
};

/** The model types that have an architecture here. */
export const GGUF_MODEL_TYPES = Object.keys(ARCHITECTURES);

/** llama.cpp's architecture of a model type, where it is known here. */
export function ggufArchitecture(modelType: string): GgufArchitecture | undefined {
  return Object.hasOwn(ARCHITECTURES, modelType) ? ARCHITECTURES[modelType] : undefined;
}

/** llama.cpp's name of a module, such as `blk.0.attn_q` of `model.layers.0.self_attn.q_proj`. */
export function ggufName({ layer }: GgufArchitecture, path: string): string | undefined {
  if (Object.hasOwn(MODEL, path)) return MODEL[path];
  const [, index, inside = ""] = /^model\.layers\.(\d+)\.(.+)$/.exec(path) ?? [];
  return index !== undefined && Object.hasOwn(layer, inside) ? `blk.${index}.${layer[inside]}` : undefined;
}

/** `model.layers.0.self_attn.q_proj.weight` → `blk.0.attn_q.weight`. */
export function ggufTensorName(architecture: GgufArchitecture, name: string): string | undefined {
  const dot = name.lastIndexOf(".");
  const own = ggufName(architecture, name.slice(0, dot));
  return own === undefined ? undefined : own + name.slice(dot);
}

/** The module that a name of llama.cpp's stands for. */
export function moduleOfGguf({ layer }: GgufArchitecture, name: string): string | undefined {
  const [, index, own] = /^blk\.(\d+)\.(.+)$/.exec(name) ?? [];
  const find = (names: Readonly<Record<string, string>>, wanted: string) =>
    Object.keys(names).find((path) => names[path] === wanted);
  if (index === undefined || own === undefined) return find(MODEL, name);
  const inside = find(layer, own);
  return inside === undefined ? undefined : `model.layers.${index}.${inside}`;
}

/** Heads of a layer whose rows are put in another order, by llama.cpp's name; undefined where they stay. */
export function permutedHeads(
  { permuted }: GgufArchitecture,
  name: string,
  heads: { readonly numHeads: number; readonly numKvHeads: number },
): number | undefined {
  const own = name.replace(/^blk\.\d+\./, "");
  if (!permuted.includes(own)) return undefined;
  return own === "attn_k" ? heads.numKvHeads : heads.numHeads;
}

/**
 * Rows of a matrix (or entries of a vector) in llama.cpp's order: in each head, row i and row i + half of transformers
 * become neighbours.
 * @param direction `"in"` goes back to transformers' order
 */
export function permuteRows<T extends Float32Array | Uint8Array>(
  values: T,
  { rows, heads, direction }: { rows: number; heads: number; direction: "out" | "in" },
): T {
  const width = values.length / rows;
  const half = rows / heads / 2;
  const result = new (values.constructor as new (length: number) => T)(values.length);
  for (let row = 0; row < rows; row++) {
    const inHead = row % (2 * half);
    const other = row - inHead + (inHead % half) * 2 + Math.floor(inHead / half);
    const [from, to] = direction === "out" ? [row, other] : [other, row];
    result.set(values.subarray(from * width, (from + 1) * width), to * width);
  }
  return result;
}
