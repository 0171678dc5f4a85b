// y[i] = x[i] cos - x[i + half] sin,  y[i + half] = x[i + half] cos + x[i] sin,  angle = positions[token] * frequency[i]
// Each workgroup goes through a run of pairs (i, i + half) and of what follows the rotated part, in vectors of four where
// they fit. Su et al. 2021, arXiv 2104.09864, in the rotate_half layout of Hugging Face.
struct Params {
  count: u32,  // rows * slots
  count2: u32, // of the second tensor
  slots: u32,  // of a head: half pairs, then cols - 2 half elements that are copied
  half: u32, cols: u32, // in units of elem
  heads: u32, heads2: u32,
  direction: f32 // -1 turns back: the transpose, which is the backward pass; else 1
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<stored>;        // [batch, tokens, heads, cols]
@group(0) @binding(2) var<storage, read> cosines: array<elem>;  // [positions, half]
@group(0) @binding(3) var<storage, read> sines: array<elem>;    // [positions, half]
@group(0) @binding(4) var<storage, read_write> y: array<stored>;  // like x
@group(0) @binding(5) var<storage, read> x2: array<stored>;       // [batch, tokens, heads2, cols]
@group(0) @binding(6) var<storage, read_write> y2: array<stored>; // like x2
@group(0) @binding(7) var<storage, read> positions: array<u32>; // [batch, tokens]

alias elem = vec4f; // f32 where half or cols is not a multiple of four
alias stored = elem; // what activations lie in: halves in mixed precision
const ACCUMULATE: bool = false; // add to y instead of overwriting it
const WG: u32 = 64u;
// #import "common/elements.wgsl"

// Where the first element of a slot lies, and its angle in the table.
fn place(i: u32, heads: u32) -> vec2u {
  let row = i / params.slots;
  let slot = i % params.slots;
  return vec2u(row * params.cols + slot, positions[row / heads] * params.half + slot);
}

fn is_rotated(i: u32) -> bool {
  return i % params.slots < params.half;
}

fn put(i: u32, value: elem) {
  if (ACCUMULATE) { y[i] = stored(elem(y[i]) + value); } else { y[i] = stored(value); }
}

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) { rotate(i); }
}

fn rotate(i: u32) {
  let at = place(i, params.heads);
  let second = elem(x[at.x + params.half]);
  var turned = second;
  if (is_rotated(i)) {
    let first = elem(x[at.x]);
    let c = cosines[at.y];
    let s = params.direction * sines[at.y];
    put(at.x, first * c - second * s);
    turned = second * c + first * s;
  }
  put(at.x + params.half, turned);
}

// The same for two tensors, queries and keys, in one dispatch.
@compute @workgroup_size(WG)
fn forward_pair(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count + params.count2);
  for (var i = own.first; i < own.end; i += WG) {
    if (i < params.count) { rotate(i); } else { rotate_second(i - params.count); }
  }
}

fn rotate_second(i: u32) {
  let at = place(i, params.heads2);
  let second = elem(x2[at.x + params.half]);
  var turned = second;
  if (is_rotated(i)) {
    let first = elem(x2[at.x]);
    let c = cosines[at.y];
    let s = params.direction * sines[at.y];
    y2[at.x] = stored(first * c - second * s);
    turned = second * c + first * s;
  }
  y2[at.x + params.half] = stored(turned);
}
