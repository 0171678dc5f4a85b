import type { ModelFiles } from "./model.ts";

/** The file that `ollama create NAME -f Modelfile` reads. */
export const MODELFILE = "Modelfile";

/**
 * A Modelfile for Ollama.
 * @param from what `FROM` names: a GGUF file beside it, or a model that Ollama has
 * @param adapter a GGUF adapter beside it
 */
export function modelfile(
  { tokenizer, chatTemplates }: Pick<ModelFiles, "tokenizer" | "chatTemplates">,
  { from, adapter }: { from: string; adapter?: string },
): string {
  const stops = (tokenizer?.stopTokenIds ?? []).flatMap((id) => tokenizer?.tokenOf(id) ?? []);
  const note = chatTemplates.has("default")
    ? [
        "# Ollama takes the template from the GGUF file where it knows it; else write it as TEMPLATE (Go's templates).",
      ]
    : [];
  const lines = [
    `FROM ${from}`,
    ...(adapter === undefined ? [] : [`ADAPTER ${adapter}`]),
    ...note,
    ...[...new Set(stops)].map((stop) => `PARAMETER stop ${JSON.stringify(stop)}`),
  ];
  return `${lines.join("\n")}\n`;
}
