// What chats need beside the types of their rows.
export { readTemplate } from "../../io/jinja/template.ts";
export { encodeChat, renderPrompt } from "./encode-chat.ts";
export { endOfTurnToken } from "./end-of-turn.ts";
