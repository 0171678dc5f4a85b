import { choice, flag, optionalText, texts } from "../options.ts";
import { RUN_ORDERS } from "../watch/run-folders.ts";

/** `webgpu-lora runs`. */
export const RUNS_OPTIONS = {
  folders: texts({
    placeholder: "folder",
    help: "output folders of train, or folders of such; also as plain words; by default the current one",
  }),
  sort: choice({
    choices: RUN_ORDERS,
    fallback: "started",
    help: "the order: when they began, or the lowest loss on the evaluation data or in training first",
  }),
  html: optionalText({
    placeholder: "file",
    help: "write a page with the curves of all of them and how their settings differ, that needs nothing else",
  }),
  json: flag({ fallback: false, help: "print one JSON object" }),
};
