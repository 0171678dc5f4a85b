// Weights of few bits, four columns a lane. Needs common/weight-vectors.wgsl and a constant SG, the subgroup's lanes;
// hold_table is called first.
var<private> own_value: vec2f; // of the table at this lane, and eight further

fn hold_table(lane: u32) {
  if (FORMAT > 6u) { own_value = vec2f(table_entry(lane % 16u), table_entry(lane % 8u + 8u)); }
}

// Lanes hold the table and fetch from each other: an array with a varying index is read one lane after the other by CPUs.
fn table_value(code: u32) -> f32 {
  if (SG >= 16u) { return subgroupShuffle(own_value.x, code); }
  if (SG == 8u) {
    let low = subgroupShuffle(own_value.x, code & 7u);
    if (FORMAT == 9u) { return bitcast<f32>(bitcast<u32>(low) | ((code & 8u) << 28u)); } // its last bit is a sign
    return select(low, subgroupShuffle(own_value.y, code & 7u), code >= 8u);
  }
  return table_entry(code);
}

fn table_values(codes: vec4u) -> vec4f {
  return vec4f(table_value(codes.x), table_value(codes.y), table_value(codes.z), table_value(codes.w));
}

// What is kept from step to step of a loop along four columns: their words, the words with the scales of their runs, and
// what the values of these runs share.
var<private> words: vec4u;
var<private> scale_words: vec4u;
var<private> terms: array<vec2f, 4>;

// Reads what the columns' runs share; the word of four scales in 8 bits where one of them begins, or at the first time.
fn read_terms(is_first: bool, run: vec4u) {
  if (SCALES < 5u && (is_first || SCALES < 3u || any(run % 4u == vec4u()))) {
    scale_words = vec4u(scale_word(run.x), scale_word(run.y), scale_word(run.z), scale_word(run.w));
  }
  terms = array<vec2f, 4>(
    terms_in(scale_words.x, run.x), terms_in(scale_words.y, run.y),
    terms_in(scale_words.z, run.z), terms_in(scale_words.w, run.w)
  );
}

// Values at .. at + 3 of four columns of W, row p of them being the first. Words and terms are read where a word or a run
// begins.
fn decode_columns(p: u32, at: vec4u) -> mat4x4f {
  if (FORMAT < 3u) {
    let i = at / 4u;
    return mat4x4f(decode4(i.x), decode4(i.y), decode4(i.z), decode4(i.w));
  }
  if (p == 0u || FORMAT < 6u || any(at % 8u == vec4u())) { words = word_columns(at); }
  let value = params.b_first + at;
  if (p == 0u || any(value % BLOCK == vec4u())) { read_terms(p == 0u, value / BLOCK); }
  return mat4x4f(
    values_of(codes_of(words.x, at.x), terms[0]), values_of(codes_of(words.y, at.y), terms[1]),
    values_of(codes_of(words.z, at.z), terms[2]), values_of(codes_of(words.w, at.w), terms[3])
  );
}

fn word_columns(at: vec4u) -> vec4u {
  return vec4u(word_at(at.x / 4u), word_at(at.y / 4u), word_at(at.z / 4u), word_at(at.w / 4u));
}
