import { type ChoiceStore, choiceKey } from "../gpu/choices.ts";

/** Choices in localStorage. Where a page may not use it, and in Deno without a location, nothing is kept. */
export function webChoices(): ChoiceStore {
  const key = (device: string) => `webgpu-lora/choices/${choiceKey(device)}`;
  return {
    async load(device) {
      return storage()?.getItem(key(device)) ?? undefined;
    },
    async save(device, text) {
      storage()?.setItem(key(device), text);
    },
  };
}

function storage(): Storage | undefined {
  try {
    return globalThis.localStorage;
  } catch {
    return undefined; // asking alone throws where storage is blocked
  }
}
