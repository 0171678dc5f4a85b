import type { Target } from "./target.ts";
import { adapter } from "./targets/adapter.ts";
import { config } from "./targets/config.ts";
import { gguf } from "./targets/gguf.ts";
import { ggufModel } from "./targets/gguf-model.ts";
import { image } from "./targets/image.ts";
import { indexFile } from "./targets/index-file.ts";
import { mlx } from "./targets/mlx.ts";
import { model } from "./targets/model.ts";
import { parquet } from "./targets/parquet.ts";
import { quantised } from "./targets/quantised.ts";
import { csv, jsonl } from "./targets/rows.ts";
import { safetensors } from "./targets/safetensors.ts";
import { template } from "./targets/template.ts";
import { tokenizer } from "./targets/tokenizer.ts";
import { yaml } from "./targets/yaml.ts";

/** Every kind of input, by the name that the command line has for it. */
export const TARGETS: Readonly<Record<string, Target>> = {
  ...{
    safetensors,
    gguf,
    "gguf-model": ggufModel,
    index: indexFile,
    config,
    model,
    quantised,
    adapter,
    mlx,
    tokenizer,
    template,
    jsonl,
    csv,
    parquet,
    yaml,
    image,
  },
};
