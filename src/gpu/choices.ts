import { isObject } from "../util/json.ts";

/** Keeps what was measured on a device from one process to the next: a file in Node, localStorage in browsers. */
export interface ChoiceStore {
  /** What was saved last for hardware of this name. */
  load(hardware: string): Promise<string | undefined>;
  /** Keeps the hardware's choices; `text` is JSON. */
  save(hardware: string, text: string): Promise<void>;
}

/** What choices were measured on. */
export interface Measured {
  /** The hardware, whatever driver it has. */
  readonly hardware: string;
  /** The device with its driver: behind another one other kernels may be the fastest. */
  readonly device: string;
}

/** Format of the saved text; no other is read. */
const VERSION = 1;

/**
 * Which variant of a kernel was measured to be the fastest on this device, by question: a kernel and a class of shapes.
 * Nothing is measured unless somebody asks for it, so that results do not change from run to run by themselves.
 */
export class Choices {
  /** How often an answer was given, or all of them forgotten. */
  changes = 0;
  readonly #on: Measured;
  readonly #store: ChoiceStore | undefined;
  readonly #answers = new Map<string, string>();

  constructor(on: Measured, store?: ChoiceStore) {
    this.#on = on;
    this.#store = store;
  }

  get size(): number {
    return this.#answers.size;
  }

  /** Every answer by its question. */
  get all(): ReadonlyMap<string, string> {
    return this.#answers;
  }

  get(question: string): string | undefined {
    return this.#answers.get(question);
  }

  set(question: string, answer: string): void {
    this.changes++;
    this.#answers.set(question, answer);
  }

  /** Forgets everything in memory; what is saved stays. */
  clear(): void {
    this.changes++;
    this.#answers.clear();
  }

  /**
   * Takes over what earlier processes saved.
   * @returns why something that was saved is not used; undefined where there is no such thing
   */
  async load(): Promise<string | undefined> {
    const { hardware, device } = this.#on;
    const text = await this.#store?.load(hardware);
    if (text === undefined) return undefined;
    const saved = parse(text);
    if (!saved) return "the kernel choices that were saved cannot be read; tune(model) measures them again";
    if (saved.device !== device)
      return `the kernel choices of "${saved.device}" are not used, since this is "${device}"; tune(model) measures them again`;
    for (const [question, answer] of saved.answers) this.set(question, answer);
    return undefined;
  }

  /** Saves everything, where there is a store. */
  async save(): Promise<void> {
    const sorted = [...this.#answers].sort(([a], [b]) => (a < b ? -1 : 1));
    const content = { version: VERSION, device: this.#on.device, choices: Object.fromEntries(sorted) };
    await this.#store?.save(this.#on.hardware, `${JSON.stringify(content, null, 2)}\n`);
  }
}

interface Saved {
  readonly device: string;
  readonly answers: readonly [question: string, answer: string][];
}

/** What was saved; undefined where it is half written, edited, or of another version. */
function parse(text: string): Saved | undefined {
  try {
    const { version, device, choices } = JSON.parse(text) as Record<string, unknown>;
    if (version !== VERSION || typeof device !== "string" || !isObject(choices)) return undefined;
    const answers = Object.entries(choices);
    const areAll = answers.every((entry): entry is [string, string] => typeof entry[1] === "string");
    return areAll ? { device, answers } : undefined;
  } catch {
    return undefined;
  }
}

/** The name of hardware as a file name or key. */
export function choiceKey(hardware: string): string {
  return hardware
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "");
}
