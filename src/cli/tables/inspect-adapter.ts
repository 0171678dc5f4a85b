import { flag, optionalText, text } from "../options.ts";
import { ADAPTER_REVISION, MODEL_OPTIONS } from "./model.ts";

/** `webgpu-lora inspect-adapter`. */
export const INSPECT_ADAPTER_OPTIONS = {
  adapter_path: text({
    placeholder: "ref",
    help: "folder, URL or hub id of the PEFT adapter; also as a plain word",
    aliases: ["adapter"],
  }),
  adapter_revision: ADAPTER_REVISION,
  model: optionalText({
    placeholder: "ref",
    help: "folder, URL or hub id of the base model: puts the norms of its weights beside those of the changes",
    aliases: ["model_name_or_path"],
  }),
  revision: MODEL_OPTIONS.revision,
  token: MODEL_OPTIONS.token,
  verify: MODEL_OPTIONS.verify,
  layers: flag({ fallback: false, help: "list every layer, not only kinds of layers" }),
  html: optionalText({ placeholder: "file", help: "write a page of it, too, that needs nothing else" }),
  json: flag({ fallback: false, help: "print one JSON object" }),
};
