import { fail, LoraError } from "../util/fail.ts";
import { receivedError } from "./errors.ts";
import type { Calls, Control, EnginePort, Items, Reply, Request } from "./protocol.ts";

/** What waits for a call's replies. */
interface Pending {
  readonly callbacks: Readonly<Record<string, (...args: readonly unknown[]) => unknown>>;
  onItem(item: unknown): void;
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/** A call that is under way. */
export interface SentCall<K extends keyof Calls> {
  readonly result: Promise<ReturnType<Calls[K]>>;
  /** Says something to it; nothing where it is over. */
  control(control: Control["control"]): void;
}

/** The program's end of the line: calls go out, and their replies come back to whoever made them. */
export class Line {
  readonly #port: EnginePort;
  readonly #pending = new Map<number, Pending>();
  #calls = 0;
  #broken: Error | undefined;

  private constructor(port: EnginePort) {
    this.#port = port;
  }

  /**
   * Waits until the worker is there.
   * @param watch is given what is to be called, with the reason, where the worker fails
   * @throws LoraError where it did not start
   */
  static async open(port: EnginePort, watch: (failed: (reason: string) => void) => void): Promise<Line> {
    const line = new Line(port);
    await new Promise<void>((ready, failed) => {
      port.onmessage = ({ data }) => {
        if ("ready" in (data as Reply)) ready();
        else line.#onReply(data as Exclude<Reply, { ready: true }>);
      };
      watch((reason) => {
        line.break(reason);
        failed(line.#broken);
      });
    });
    return line;
  }

  /** Asks for a call. Options are its last argument: their functions are called here, their `signal` stops it. */
  call<K extends keyof Calls>(
    call: K,
    args: Parameters<Calls[K]>,
    onItem: (item: K extends keyof Items ? Items[K] : never) => void = () => {},
  ): SentCall<K> {
    const id = ++this.#calls;
    const { plain, callbacks, signal } = apart(call, args);
    const control = (control: Control["control"]) => {
      if (this.#pending.has(id)) this.#port.postMessage({ id, control } satisfies Control);
    };
    const stop = () => control("stop");
    const result = new Promise<unknown>((resolve, reject) => {
      if (this.#broken) throw this.#broken;
      this.#pending.set(id, { callbacks, onItem: onItem as Pending["onItem"], resolve, reject });
      this.#port.postMessage({ id, call, args: plain, callbacks: Object.keys(callbacks) } satisfies Request);
      if (signal?.aborted) stop();
      signal?.addEventListener("abort", stop);
    }).finally(() => {
      this.#pending.delete(id);
      signal?.removeEventListener("abort", stop);
    });
    return { result: result as Promise<ReturnType<Calls[K]>>, control };
  }

  /** Nothing comes any more: all that is under way fails. */
  break(reason: string): void {
    this.#broken ??= new LoraError("input", "engine", reason, "create another one with createWorkerEngine");
    for (const { reject } of this.#pending.values()) reject(this.#broken);
  }

  #onReply(reply: Exclude<Reply, { ready: true }>): void {
    const pending = this.#pending.get(reply.id);
    if (!pending) return; // it was given up
    if ("item" in reply) pending.onItem(reply.item);
    else if ("callback" in reply) pending.callbacks[reply.callback]?.(...reply.args);
    else if ("error" in reply) pending.reject(receivedError(reply.error));
    else pending.resolve(reply.value);
  }
}

/** What cannot be cloned among the options, apart from the rest. */
function apart(where: string, args: readonly unknown[]) {
  const options = args.at(-1);
  if (options === null) fail(where, "the options are null, wanted an object", "leave them out");
  const callbacks: Record<string, Pending["callbacks"][string]> = {};
  if (typeof options !== "object" || options === null || Array.isArray(options))
    return { plain: args, callbacks, signal: undefined };
  let signal: AbortSignal | undefined;
  const rest: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(options)) {
    if (typeof value === "function") callbacks[key] = value as Pending["callbacks"][string];
    else if (value instanceof AbortSignal) signal = value;
    else rest[key] = value;
  }
  return { plain: [...args.slice(0, -1), rest], callbacks, signal };
}
