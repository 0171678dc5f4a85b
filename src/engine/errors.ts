import { type FailureKind, LoraError, messageOf } from "../util/fail.ts";
import type { ErrorGiven } from "./protocol.ts";

/** An error as it crosses: structured cloning would leave its class and what it says beside the message. */
export function givenError(error: unknown): ErrorGiven {
  if (error instanceof LoraError) {
    const { name, message, stack, kind, where } = error;
    return { name, message, stack, kind, where };
  }
  if (error instanceof Error || error instanceof DOMException) {
    const { name, message, stack } = error;
    return { name, message, stack };
  }
  return { name: "Error", message: messageOf(error) };
}

/** The same error on the other side. */
export function receivedError({ name, message, stack, kind, where = "" }: ErrorGiven): Error {
  if (kind !== undefined)
    return Object.assign(new LoraError(kind as FailureKind, where, ""), { message, stack });
  if (name === "AbortError") return new DOMException(message, name);
  return Object.assign(new Error(message), { name, stack });
}
