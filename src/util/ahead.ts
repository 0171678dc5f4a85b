/** Values that are made one after the other, the next one ahead of need. */
export class Ahead<T> {
  readonly #source: AsyncIterator<T, unknown, undefined>;
  #next: Promise<IteratorResult<T, unknown>> | undefined;

  constructor(source: AsyncIterator<T, unknown, undefined>) {
    this.#source = source;
  }

  /** Begins to make the next value, unless that has begun; whatever goes wrong is told by {@link next}. */
  prepare(): void {
    this.#next ??= this.#source.next();
    this.#next.catch(() => {});
  }

  /** The next value; undefined behind the last one. */
  async next(): Promise<T | undefined> {
    this.prepare();
    const next = this.#next;
    this.#next = undefined;
    const result = await next;
    return result?.done ? undefined : result?.value;
  }

  /** Ends the source, once what it is making is made. */
  async close(): Promise<void> {
    await this.#next?.catch(() => {});
    await this.#source.return?.();
  }
}
