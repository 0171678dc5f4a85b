import { fail } from "../../util/fail.ts";
import type { ChatTemplate } from "./chat-template.ts";
import type { Message } from "./messages.ts";
import { type RenderOptions, renderChat } from "./render.ts";

/** Roles of which a template may leave a message out for a reason, such as what an assistant says beside a call. */
const USUAL = ["system", "user", "assistant", "tool"];

/** A text that no template writes by itself. */
const PROBE = "5d0c9e71";

/**
 * Checks that a template shows the messages of unusual roles: many templates leave out, without a word, what is of a role
 * that they do not know.
 * @throws LoraError naming the message and its role
 */
export function checkRoles(
  messages: readonly Message[],
  template: ChatTemplate,
  options: RenderOptions,
): void {
  for (const [i, { role, content }] of messages.entries()) {
    if (USUAL.includes(role) || typeof content !== "string" || content.trim() === "") continue;
    const probed = messages.with(i, { ...(messages[i] as Message), content: PROBE });
    if (renderChat(probed, template, options).text.includes(PROBE)) continue;
    const got = `leaves out message ${i + 1}, which has the role ${JSON.stringify(role)}`;
    fail(template.name, got, `give it a role that the template knows, such as ${USUAL.join(", ")}`);
  }
}
