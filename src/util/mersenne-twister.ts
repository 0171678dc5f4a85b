const SIZE = 624;

/**
 * MT19937 (Matsumoto and Nishimura 1998), seeded as PyTorch's generator on the CPU is: for values that PyTorch makes from
 * a seed and does not save.
 * @param seed of which the lower 32 bits count
 * @returns the next 32 random bits, as an integer in [0, 2³²)
 */
export function mersenneTwister(seed: number): () => number {
  const state = new Uint32Array(SIZE);
  state[0] = seed;
  for (let i = 1; i < SIZE; i++) {
    const before = state[i - 1] as number;
    state[i] = Math.imul(1812433253, before ^ (before >>> 30)) + i;
  }
  let next = SIZE;
  return () => {
    if (next === SIZE) {
      twist(state);
      next = 0;
    }
    return tempered(state[next++] as number);
  };
}

function twist(state: Uint32Array): void {
  for (let i = 0; i < SIZE; i++) {
    const y = ((state[i] as number) & 0x80000000) | ((state[(i + 1) % SIZE] as number) & 0x7fffffff);
    state[i] = (state[(i + 397) % SIZE] as number) ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
  }
}

function tempered(value: number): number {
  let y = value ^ (value >>> 11);
  y ^= (y << 7) & 0x9d2c5680;
  y ^= (y << 15) & 0xefc60000;
  return (y ^ (y >>> 18)) >>> 0;
}

/** `torch.empty(size).uniform_(-bound, bound, generator=…)` on the CPU: 24 random bits each, and one fused multiply-add. */
export function torchUniform(bits: () => number, size: number, bound: number): Float32Array {
  const from = Math.fround(-bound);
  const range = Math.fround(Math.fround(bound) - from);
  // The product of two f32 is exact in f64, so that the array's rounding is the only one.
  return Float32Array.from({ length: size }, () => ((bits() & 0xffffff) / 0x1000000) * range + from);
}
