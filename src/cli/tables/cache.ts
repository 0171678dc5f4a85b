import { duration, flag, texts } from "../options.ts";

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
