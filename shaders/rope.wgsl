// y[i] = x[i] cos - x[i + half] sin,  y[i + half] = x[i + half] cos + x[i] sin,  angle = position * frequency[i]
// Each invocation strides over pairs (i, i + half) and over what lies behind the rotated part, in vectors of four where
// they fit. Su et al. 2021, arXiv 2104.09864, in the rotate_half layout of Hugging Face.
struct Params {
  count: u32,  // rows * slots
  slots: u32,  // of a head: half pairs, then cols - 2 half elements that are copied
  half: u32, cols: u32, // in units of elem
  heads: u32, tokens: u32,
  offset: u32  // position of the first token
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<elem>;        // [batch, tokens, heads, cols]
@group(0) @binding(2) var<storage, read> cosines: array<elem>;  // [positions, half]
@group(0) @binding(3) var<storage, read> sines: array<elem>;    // [positions, half]
@group(0) @binding(4) var<storage, read_write> y: array<elem>;  // like x

alias elem = vec4f; // f32 where half or cols is not a multiple of four
const DIRECTION: f32 = 1.0;     // -1.0 turns back: the transpose, which is the backward pass
const ACCUMULATE: bool = false; // add to y instead of overwriting it

fn store(i: u32, value: elem) {
  if (ACCUMULATE) { y[i] += value; } else { y[i] = value; }
}

@compute @workgroup_size(64)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  for (var i = id.x; i < params.count; i += grid.x * 64u) {
    let row = i / params.slots;
    let slot = i % params.slots;
    let base = row * params.cols + slot;
    if (slot < params.half) {
      let position = params.offset + (row / params.heads) % params.tokens;
      let c = cosines[position * params.half + slot];
      let s = DIRECTION * sines[position * params.half + slot];
      let first = x[base];
      let second = x[base + params.half];
      store(base, first * c - second * s);
      store(base + params.half, second * c + first * s);
    } else {
      store(base + params.half, x[base + params.half]);
    }
  }
}
