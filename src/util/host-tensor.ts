/** A tensor in main memory: row-major f32. */
export interface HostTensor {
  /** Elements along each axis. */
  readonly shape: readonly number[];
  /** All of them, the last axis fastest. */
  readonly data: Float32Array;
}
