/** An engine that continues texts. */
export interface Decoder {
  readonly name: string;
  readonly version: string;
  /** The most likely tokens after a prompt, one after the other, for as long as somebody wants them. */
  write(prompt: readonly number[]): AsyncGenerator<number>;
  release(): Promise<void> | void;
  /** Milliseconds of processor time so far, of a process of its own; of an engine in this one, nothing. */
  processorMs?(): number;
  /** It has weights of its own, so that its tokens are others. */
  readonly isOther?: boolean;
}
