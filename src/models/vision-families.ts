import { readActivation } from "./activation-names.ts";
import type { ConfigReader } from "./config-reader.ts";
import { type Family, family } from "./family.ts";
import { readLabels } from "./labels.ts";
import { buildVit, type VitConfig } from "./vit.ts";

/** Classifiers of images, by the architecture name in their configs. */
export const VISION_FAMILIES: Readonly<Record<string, Family>> = {
  ViTForImageClassification: family({
    modelType: "vit",
    task: "image-classification",
    defaultTargets: ["q_proj", "v_proj"], // PEFT has no default for it
    prefix: "vit",
    leftovers: /^vit\.pooler\./,
    // Files keep the names of transformers 4; modules, and PEFT's adapters of them, have those of transformers 5.
    renames: [
      [/^(?=(?:embeddings|encoder|layernorm|pooler)\.)/, "vit."],
      [/^vit\.encoder\.layer\./, "vit.layers."],
      [/\.attention\.attention\.query/, ".attention.q_proj"],
      [/\.attention\.attention\.key/, ".attention.k_proj"],
      [/\.attention\.attention\.value/, ".attention.v_proj"],
      [/\.attention\.output\.dense/, ".attention.o_proj"],
      [/\.intermediate\.dense/, ".mlp.fc1"],
      [/(\.\d+)\.output\.dense/, "$1.mlp.fc2"],
    ],
    fileNames: [
      [/^vit\.layers\./, "vit.encoder.layer."],
      [/\.attention\.q_proj/, ".attention.attention.query"],
      [/\.attention\.k_proj/, ".attention.attention.key"],
      [/\.attention\.v_proj/, ".attention.attention.value"],
      [/\.attention\.o_proj/, ".attention.output.dense"],
      [/\.mlp\.fc1/, ".intermediate.dense"],
      [/\.mlp\.fc2/, ".output.dense"],
    ],
    read: readVit,
    build: buildVit,
  }),
};

function readVit(c: ConfigReader): VitConfig {
  const [height, width] = c.pair("image_size", 224);
  const [patchSize, patchWidth] = c.pair("patch_size", 16);
  if (patchWidth !== patchSize) c.refuse("patch_size", `${patchSize} × ${patchWidth}; patches are square`);
  if (height % patchSize > 0 || width % patchSize > 0) {
    c.refuse("image_size", `${height} × ${width} is no whole number of patches of ${patchSize}`);
  }
  c.ignore("encoder_stride", "pooler_output_size", "pooler_act");
  const hiddenSize = c.size("hidden_size");
  return {
    hiddenSize,
    intermediateSize: c.size("intermediate_size"),
    numLayers: c.layers("num_hidden_layers"),
    numHeads: c.heads("num_attention_heads", hiddenSize),
    image: { channels: c.size("num_channels", 3), height, width },
    patchSize,
    normEps: c.nonNegative("layer_norm_eps", 1e-12),
    activation: readActivation(c, "hidden_act", "gelu"),
    qkvBias: c.boolean("qkv_bias", true),
    labels: readLabels(c),
  };
}
