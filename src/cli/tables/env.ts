import { flag } from "../options.ts";

/** `webgpu-lora env`. */
export const ENV_OPTIONS = {
  json: flag({ fallback: false, help: "print one JSON object" }),
};
