/** What comes one after another, read as it comes or later. */
export class Items<T> implements AsyncIterable<T> {
  readonly #waiting: T[] = [];
  #wake: () => void = () => {};
  #over: Promise<void> | undefined;
  #isOver = false;
  #error: unknown;
  #stop: () => void = () => {};

  add(item: T): void {
    this.#waiting.push(item);
    this.#wake();
  }

  /**
   * Ends with a result, or its error, which whoever reads is told.
   * @param stop called where nobody reads any more; the end is waited for all the same
   */
  endWith(result: Promise<unknown>, stop: () => void): void {
    this.#stop = stop;
    this.#over = result
      .then(
        () => {},
        (error) => {
          this.#error = error;
        },
      )
      .then(() => {
        this.#isOver = true;
        this.#wake();
      });
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    try {
      for (;;) {
        while (this.#waiting.length > 0) yield this.#waiting.shift() as T;
        if (this.#isOver) break;
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    } finally {
      if (!this.#isOver) this.#stop();
      await this.#over;
    }
    if (this.#error !== undefined) throw this.#error;
  }
}
