import { duration, flag, integer, optionalText, text, texts } from "../options.ts";

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
