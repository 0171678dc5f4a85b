import { integer } from "../options.ts";

/** `webgpu-lora web`. */
export const WEB_OPTIONS = {
  port: integer({ fallback: 8480, min: 0, help: "port of the page; 0 takes a free one" }),
};
