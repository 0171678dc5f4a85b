// Four neighbours of the weight that the kernel binds twice. Needs common/weight.wgsl and bindings b and b_packed.
alias packed = vec2u; // the words that hold four values: u32 where these have 8 or 4 bits each

// Word `at` of a format of at most 8 bits.
fn packed_word(at: u32) -> u32 { return vec2u(b_packed[at]).x; }

// The word that holds values 4 at .. 4 at + 3.
fn word_at(at: u32) -> u32 { return packed_word(at / select(1u, 2u, FORMAT >= 6u)); }

// Values 4 at .. 4 at + 3.
fn decode4(at: u32) -> vec4f {
  if (FORMAT == 0u) { return b[at]; }
  if (FORMAT < 3u) {
    let words = vec2u(b_packed[at]);
    return vec4f(decode_pair(words.x), decode_pair(words.y));
  }
  return values_of(codes_of(word_at(at), 4u * at), run_terms((params.b_first + 4u * at) / BLOCK));
}
