import { late } from "../../util/late.ts";

/** What makes texts and tokens of chats. */
export type ChatTools = typeof import("./chats.ts");

/** The same, which nobody needs who has no chats. */
export const LATE_CHATS = late<ChatTools>(() => import("./chats.ts"));

/** Whoever encodes or renders chats awaits this first. */
export async function loadChats(): Promise<void> {
  await LATE_CHATS.load();
}
