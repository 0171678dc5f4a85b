// Floats of 4 bits as five bits of an f32, four of them in a word, without moving one bit beside another: the sign, the first bit of the
// fraction, and of the exponent the bits of 1, 2 and 8. So moved, those of four floats do not overlap.
// Exponents 3, 8, 9 and 10 are those of bitsandbytes' fp4, times 12; 8 to 11 those of E2M1, times 4; 0 is that of zero.
const FLOAT_BITS: u32 = 0x85c00000u;
const FLOAT_SHIFTS: vec4u = vec4u(0u, 6u, 12u, 18u);
const FLOAT_DOWN: u32 = 120u; // what is taken from exponents
const FLOAT_UP: u32 = 96u;    // what is added to those of x, so that no product is treated as 0, nor x as infinite
const FLOAT_FACTOR: f32 = 1.0 / 16777216.0; // both together, 2^(96 - 120): written out, since Naga knows no bitcast of constants
