// Values of a frozen weight stored as 32-bit words. Needs `const FORMAT: u32`: 0 f32, 1 bf16, 2 f16.
// A 16-bit format has two values a word, the one of even index in the low half.

// Value `index` of a 16-bit tensor, out of the word `index / 2` that holds it.
fn decode_half(word: u32, index: u32) -> f32 {
  let odd = index % 2u == 1u;
  if (FORMAT == 1u) { return bitcast<f32>(select(word << 16u, word & 0xffff0000u, odd)); }
  let pair = unpack2x16float(word);
  return select(pair.x, pair.y, odd);
}

// Both values of a word of a 16-bit tensor.
fn decode_pair(word: u32) -> vec2f {
  if (FORMAT == 1u) { return vec2f(bitcast<f32>(word << 16u), bitcast<f32>(word & 0xffff0000u)); }
  return unpack2x16float(word);
}

// Number of the word that holds value `index`.
fn word_of(index: u32) -> u32 {
  if (FORMAT == 0u) { return index; }
  return index / 2u;
}

// Value `index` out of its word, whatever the format.
fn decode(word: u32, index: u32) -> f32 {
  if (FORMAT == 0u) { return bitcast<f32>(word); }
  return decode_half(word, index);
}
