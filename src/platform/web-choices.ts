import { type ChoiceStore, choiceKey } from "../gpu/choices.ts";

/** Choices in localStorage. Where a page may not use it, and in Deno without a location, nothing is kept. */
export function webChoices(): ChoiceStore {
  const key = (hardware: string) => `webgpu-lora/choices/${choiceKey(hardware)}`;
  return {
    async load(hardware) {
      return storage()?.getItem(key(hardware)) ?? undefined;
    },
    async save(hardware, text) {
      storage()?.setItem(key(hardware), text);
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
