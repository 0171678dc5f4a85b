// The order of floats as integers: comparing NaN differs between drivers.
const NONE: u32 = 0xffffffffu;
const INFINITE: u32 = 0xff800000u;  // the rank of +inf; NaN ranks above it
const MASKED: u32 = 0x007fffffu;    // the rank of -inf

fn rank_of(bits: u32) -> u32 {
  if ((bits & 0x7fffffffu) > 0x7f800000u) { return NONE; }
  if (bits == 0x80000000u) { return 0x80000000u; } // -0 equals 0
  return select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
}

fn is_broken(rank: u32) -> bool { return rank >= INFINITE || rank == MASKED; }
