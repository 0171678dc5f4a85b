// Options of the commands that train and run no model, as in tables.ts.
import { duration, flag, integer, optionalText, text, texts } from "./options.ts";

/** `webgpu-lora env`. */
export const ENV_OPTIONS = {
  json: flag({ fallback: false, help: "print one JSON object" }),
};

/** `webgpu-lora cache list`. */
export const CACHE_LIST_OPTIONS = {
  json: flag({ fallback: false, help: "print one JSON object" }),
};

/** `webgpu-lora cache rm`. */
export const CACHE_RM_OPTIONS = {
  names: texts({
    placeholder: "name",
    help: "what to remove, as cache list names it; without @revision all revisions; also as plain words",
  }),
  all: flag({ fallback: false, help: "remove all downloads" }),
  older_than: duration({
    fallback: undefined,
    help: "remove what was not used for so long, such as 30d",
  }),
  yes: flag({ fallback: false, help: "do not ask" }),
  dry_run: flag({ fallback: false, help: "say what would go, and remove nothing" }),
};

/** `webgpu-lora bench`. */
export const BENCH_OPTIONS = {
  kernels: texts({ placeholder: "name", help: "only these kernels; also as plain words" }),
  size: texts({ placeholder: "size", help: "only sizes with these words, such as T512 or 1024x1024x1024" }),
  budget: duration({
    fallback: 60,
    help: "time for the whole run in seconds, or as 90s, 5m; larger sizes are left out where it is short",
  }),
  output_dir: text({
    placeholder: "path",
    fallback: "bench-results",
    help: "folder for DEVICE.json and DEVICE.html",
  }),
  compare: optionalText({
    placeholder: "file",
    help: "an earlier DEVICE.json: says what became slower or faster",
  }),
  list: flag({ fallback: false, help: "list kernels and sizes, and run nothing" }),
  json: flag({ fallback: false, help: "print the result as JSON" }),
  serve: flag({
    fallback: false,
    help: "serve a page on this machine that runs the same benchmark in a browser",
  }),
  port: integer({ fallback: 8470, min: 0, help: "port of that page; 0 takes a free one" }),
};
