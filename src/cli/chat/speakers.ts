import type { Adapter } from "../../adapters/adapter.ts";
import { loadChats } from "../../data/chat/late-chats.ts";
import { templateChooser } from "../../data/chat/template-chooser.ts";
import { type LoadedModel, requireTokenizer } from "../../load/model.ts";
import { Conversation } from "../../train/conversation.ts";
import { fail } from "../../util/fail.ts";
import { withTemplateFile } from "../chat-template.ts";
import { type ModelSettings, openCliModel } from "../open.ts";
import { openCliAdapters, weightedAdapters } from "../weighted-adapters.ts";

/** Who answers: the model as it is, or with an adapter, by the template that each learnt. */
export interface Speaker {
  /** `base`, or what the adapter is called. */
  readonly name: string;
  /** The model with this speaker's adapter, if it has one, and the chat templates that count for it. */
  readonly model: LoadedModel<"causal-lm">;
  /** It answers through an adapter. */
  readonly isTuned: boolean;
  /** How strong its adapter is. */
  readonly strength?: Strength | undefined;
  /** What it was asked and answered. */
  readonly conversation: Conversation;
}

/** How strong an adapter is, which may be changed between two answers. */
export interface Strength {
  readonly factor: number;
  /** @throws LoraError where the adapter's method has no factor, or this is none */
  set(factor: number): void;
}

/** What the model without an adapter is called. */
export const BASE = "base";

/** Which model, which adapters, and which template they are to use instead of their own. */
export interface SpeakerSettings extends ModelSettings {
  readonly adapter_path: readonly string[];
  readonly chat_template: string | undefined;
}

/**
 * Loads a model and its adapters.
 * @returns the model as it is, and behind it one speaker for each adapter
 * @throws LoraError as loading does, for an adapter that is named twice, and where a speaker has no chat template
 */
export async function openSpeakers(
  settings: SpeakerSettings,
  note: (line: string) => void,
): Promise<readonly Speaker[]> {
  const { chat_template: choice } = settings;
  const adapters = weightedAdapters(settings, [BASE]);
  const { model: base } = await openCliModel(settings, note, adapters);
  const tuned: Omit<Speaker, "conversation">[] = [];
  for (const adapter of adapters) {
    const { model, adapters: on } = await openCliAdapters(base.withAdapters([]), [adapter], note);
    const strength = on[0] && strengthOf(model, on[0], adapter.weight);
    tuned.push({ name: adapter.name, model, isTuned: true, strength });
  }
  // A model that never saw a chat is asked as its adapters are.
  const chatTemplates = base.chatTemplates.size > 0 ? base.chatTemplates : tuned[0]?.model.chatTemplates;
  const plain = { ...base, chatTemplates: chatTemplates ?? base.chatTemplates };
  const speakers = [{ name: BASE, model: plain, isTuned: false }, ...tuned];
  return Promise.all(speakers.map((speaker) => withTemplate(speaker, choice)));
}

/** Puts the adapter on the model's list as strong as is asked for: nothing is copied or compiled. */
function strengthOf({ adapters }: LoadedModel, adapter: Adapter, begin: number): Strength {
  let factor = begin;
  return {
    get factor() {
      return factor;
    },
    set(wanted) {
      const next = wanted === 1 ? adapter : adapter.scaled(wanted);
      for (const other of adapters.all) adapters.remove(other);
      adapters.add(next);
      factor = wanted;
    },
  };
}

/** @throws LoraError where there is no template, or a mistake in it */
async function withTemplate(
  speaker: Omit<Speaker, "conversation">,
  choice: string | undefined,
): Promise<Speaker> {
  const model = { ...speaker.model, ...(await withTemplateFile(speaker.model, choice)) };
  if (model.chatTemplates.size === 0) {
    const help = "give one with --chat-template FILE; generate --prompt continues plain text";
    return fail(model.name, "has no chat template", help);
  }
  await loadChats();
  templateChooser(model, requireTokenizer(model), choice)(false);
  return { ...speaker, model, conversation: new Conversation(model) };
}
