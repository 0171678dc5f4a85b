import type { FileContent, FileSource } from "../../io/files/files.ts";
import { readText } from "../../io/files/files.ts";
import { CHAT_TEMPLATE_FILE } from "../../io/tokenizer/chat-templates.ts";
import type { HostTensor } from "../../util/host-tensor.ts";
import { LABELS_FILE } from "../adapter.ts";
import type { Member } from "./members.ts";

/** What of adapters is not LoRA: modules that were trained whole, names of classes, chat templates. */
export interface Companions {
  readonly companions: ReadonlyMap<string, FileContent>;
  readonly saved: ReadonlyMap<string, HostTensor>;
  readonly warnings: readonly string[];
}

/** What is taken over as it is, and what is said about it. */
export async function companionsOf(
  members: readonly Member[],
  adapters: readonly { readonly files: FileSource }[],
): Promise<Companions> {
  const warnings: string[] = [];
  const saved = new Map<string, HostTensor>();
  for (const { label, weight, adapter } of members) {
    for (const [name, tensor] of adapter.saved) saved.set(name, tensor);
    if (adapter.saved.size > 0 && weight !== 1)
      warnings.push(
        `${label}: what was trained whole (${[...adapter.saved.keys()].join(", ")}) is taken as it is, whatever the weight`,
      );
  }
  const companions = new Map<string, FileContent>();
  for (const name of [LABELS_FILE, CHAT_TEMPLATE_FILE]) {
    const texts = await Promise.all(adapters.map(({ files }) => optionalText(files, name)));
    const different = new Set(texts.filter((text) => text !== undefined));
    const [only] = different;
    if (different.size > 1) warnings.push(`the adapters' ${name} differ; it was left out`);
    else if (only !== undefined) companions.set(name, only);
  }
  return { companions, saved, warnings };
}

async function optionalText(files: FileSource, name: string): Promise<string | undefined> {
  return (await files.size(name)) === undefined ? undefined : readText(files, name);
}
