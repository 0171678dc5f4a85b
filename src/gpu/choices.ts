/** Keeps what was measured on a device from one process to the next: a file in Node, localStorage in browsers. */
export interface ChoiceStore {
  /** What was saved last for a device of this name. */
  load(device: string): Promise<string | undefined>;
  /** Keeps a device's choices; `text` is JSON. */
  save(device: string, text: string): Promise<void>;
}

/** Format of the saved text; of any other nothing is read, and the measurement is made again. */
const VERSION = 1;

/**
 * Which variant of a kernel was measured to be the fastest on this device, by question: a kernel and a class of shapes.
 * Nothing is measured unless somebody asks for it, so that results do not change from run to run by themselves.
 */
export class Choices {
  readonly #device: string;
  readonly #store: ChoiceStore | undefined;
  readonly #answers = new Map<string, string>();

  constructor(device: string, store?: ChoiceStore) {
    this.#device = device;
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
    this.#answers.set(question, answer);
  }

  /** Forgets everything in memory; what is saved stays. */
  clear(): void {
    this.#answers.clear();
  }

  /** Takes over what earlier processes saved. */
  async load(): Promise<void> {
    const text = await this.#store?.load(this.#device);
    for (const [question, answer] of answersIn(text)) this.#answers.set(question, answer);
  }

  /** Saves everything, where there is a store. */
  async save(): Promise<void> {
    const sorted = [...this.#answers].sort(([a], [b]) => (a < b ? -1 : 1));
    const content = { version: VERSION, device: this.#device, choices: Object.fromEntries(sorted) };
    await this.#store?.save(this.#device, `${JSON.stringify(content, null, 2)}\n`);
  }
}

function answersIn(text: string | undefined): [string, string][] {
  try {
    const { version, choices } = JSON.parse(text ?? "{}") as { version?: unknown; choices?: unknown };
    if (version !== VERSION || typeof choices !== "object" || choices === null) return [];
    return Object.entries(choices).filter((entry): entry is [string, string] => typeof entry[1] === "string");
  } catch {
    return []; // half written or edited: as good as none
  }
}

/** The name of a device as a file name or key. */
export function choiceKey(device: string): string {
  return device
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "");
}
