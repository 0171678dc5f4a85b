/** Kinds of numbers that gradients travel as. */
export const WIRE_TYPES = ["f32", "f16", "bf16"] as const;
/** One of {@link WIRE_TYPES}. */
export type WireType = (typeof WIRE_TYPES)[number];

/** Which share of the work a process does. */
export interface Share {
  /** Which one it is, from 0. */
  readonly rank: number;
  /** How many there are. */
  readonly size: number;
}

/** A process that does all of it. */
export const ALONE: Share = { rank: 0, size: 1 };

/** What was sent so far. */
export interface Traffic {
  /** Payload, without what the protocol adds. */
  readonly bytes: number;
  /** Spent with waiting for the others and the wire. */
  readonly seconds: number;
}

/**
 * The processes that train one adapter together, as one of them sees them. All call the same methods in the same order, each
 * with as many values as the others; every promise rejects where another process has failed.
 */
export interface Peers extends Share {
  /** What this one has sent so far. */
  readonly traffic: Traffic;
  /** The sum of what all have: the same bytes everywhere. `values` may be overwritten. */
  sum(values: Float32Array<ArrayBuffer>, wire?: WireType): Promise<Float32Array>;
  /** What rank 0 has; what the others give is not looked at. */
  broadcast(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array>;
  /** The text of each, by rank. */
  gather(text: string): Promise<readonly string[]>;
}
