// y_i = x W_i^T + h_i B_i^T  of up to three layers of one input, and  dx = sum of dy_i W_i + dh A  backward; for GPUs
// A workgroup owns ROWS x COLS of a y, or of dx, and its invocations share the sums. All lengths are multiples of four.
struct Params {
  rows: u32, inputs: u32, ldh: u32, layers: u32, // T, columns of x and dx, of h and dh, and how many layers there are
  n0: u32, n1: u32, n2: u32,             // columns of each y, and rows of each W [n, inputs]
  at0: u32, at1: u32, at2: u32,          // where each y or dy begins in its buffer
  buffer0: u32, buffer1: u32, buffer2: u32, // which of the two that is
  r0: u32, r1: u32, r2: u32,             // columns of each B [n, r]
  first0: u32, first1: u32, first2: u32, // where they begin among those of h
  b0: u32, b1: u32, b2: u32,             // where each B begins in its binding
  inner: u32                             // rows of A: 0 without a branch
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> in0: array<vec4f>; // x [T, inputs]; backward the dy, in this buffer and the next
@group(0) @binding(2) var<storage, read> in1: array<vec4f>;
@group(0) @binding(3) var<storage, read> w0: array<vec2u>;  // two values of 16 bits a word, or one of 32
@group(0) @binding(4) var<storage, read> w1: array<vec2u>;
@group(0) @binding(5) var<storage, read> w2: array<vec2u>;
@group(0) @binding(6) var<storage, read> h: array<vec4f>;   // [T, ldh]; backward dh
@group(0) @binding(7) var<storage, read> e: array<vec4f>;   // every B; backward A [inner, inputs]
@group(0) @binding(8) var<storage, read_write> out0: array<vec4f>; // the y, in this buffer and the next; backward dx
@group(0) @binding(9) var<storage, read_write> out1: array<vec4f>;

const ROWS: u32 = 32u;
const COLS: u32 = 32u;
const FORMAT: u32 = 1u; // of the weights, as in common/weight.wgsl: 0 f32, 1 bf16, 2 f16
const ACCUMULATE: bool = false; // add to dx
// #import "common/small-blocks.wgsl"

struct Layer { n: u32, at: u32, buffer: u32, r: u32, first: u32, b: u32 }

fn layer(part: u32) -> Layer {
  if (part == 0u) {
    return Layer(params.n0, params.at0, params.buffer0, params.r0, params.first0, params.b0);
  }
  if (part == 1u) {
    return Layer(params.n1, params.at1, params.buffer1, params.r1, params.first1, params.b1);
  }
  return Layer(params.n2, params.at2, params.buffer2, params.r2, params.first2, params.b2);
}

fn words_of(part: u32, at: u32) -> vec2u {
  if (part == 0u) { return w0[at]; }
  if (part == 1u) { return w1[at]; }
  return w2[at];
}

// Values 4 at .. 4 at + 3 of a layer's weight.
fn weights(part: u32, at: u32) -> vec4f {
  if (FORMAT == 0u) {
    return bitcast<vec4f>(vec4u(words_of(part, 2u * at), words_of(part, 2u * at + 1u)));
  }
  let words = words_of(part, at);
  if (FORMAT == 2u) { return vec4f(unpack2x16float(words.x), unpack2x16float(words.y)); }
  return bitcast<vec4f>(vec4u(words.x << 16u, words.x & 0xffff0000u, words.y << 16u, words.y & 0xffff0000u));
}

fn load_w(part: u32, at: vec4u) -> mat4x4f {
  return mat4x4f(weights(part, at.x), weights(part, at.y), weights(part, at.z), weights(part, at.w));
}

fn load_x(at: vec4u) -> mat4x4f { return mat4x4f(in0[at.x], in0[at.y], in0[at.z], in0[at.w]); }

fn load_dy(buffer: u32, at: vec4u) -> mat4x4f {
  if (buffer == 0u) { return load_x(at); }
  return mat4x4f(in1[at.x], in1[at.y], in1[at.z], in1[at.w]);
}

// Adds h(row, p) B(col, p), or dh(row, p) A(p, col), summed over p < r.
fn add_branch(sum: mat4x4f, place: Place, inner: Walk, outer: Walk, r: u32, along: bool) -> mat4x4f {
  var all = sum;
  for (var quad = place.part; quad < r / 4u; quad += GROUPS) {
    let i = step_of(inner, quad);
    let o = step_of(outer, quad);
    let left = mat4x4f(h[i.x], h[i.y], h[i.z], h[i.w]);
    let right = mat4x4f(e[o.x], e[o.y], e[o.z], e[o.w]);
    all = add_product(all, left, right, true, along);
  }
  return all;
}

@compute @workgroup_size(256)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  var part = 0u;
  var before = 0u; // blocks of the layers before
  for (var i = 0u; i + 1u < params.layers; i++) {
    let blocks = (layer(i).n + COLS - 1u) / COLS;
    if (part == i && group.x >= before + blocks) {
      part = i + 1u;
      before += blocks;
    }
  }
  let own = layer(part);
  let place = place_of(lane);
  let corner = vec2u(group.y * ROWS, (group.x - before) * COLS);
  let row = corner.x + 4u * place.row;
  let col = corner.y + 4u * place.col;
  let rows = walk(0u, row, params.rows, params.inputs, true);
  let cols = walk(0u, col, own.n, params.inputs, true);
  var sum = mat4x4f();
  for (var quad = place.part; quad < params.inputs / 4u; quad += GROUPS) {
    sum = add_product(sum, load_x(step_of(rows, quad)), load_w(part, step_of(cols, quad)), true, true);
  }
  let inner = walk(own.first, row, params.rows, params.ldh, true);
  keep(place, add_branch(sum, place, inner, walk(own.b, col, own.n, own.r, true), own.r, true));
  workgroupBarrier();
  let i = lane;
  let at = vec2u(corner.x + i / (COLS / 4u), corner.y + i % (COLS / 4u) * 4u);
  if (at.x >= params.rows || at.y >= own.n) { return; }
  let to = (own.at + at.x * own.n + at.y) / 4u;
  if (own.buffer == 0u) { out0[to] = total(i); } else { out1[to] = total(i); }
}

@compute @workgroup_size(256)
fn backward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let place = place_of(lane);
  let corner = vec2u(group.y * ROWS, group.x * COLS);
  let row = corner.x + 4u * place.row;
  let col = corner.y + 4u * place.col;
  var sum = mat4x4f();
  for (var part = 0u; part < params.layers; part++) {
    let own = layer(part);
    let rows = walk(own.at, row, params.rows, own.n, true);
    let cols = walk(0u, col, params.inputs, params.inputs, false);
    for (var quad = place.part; quad < own.n / 4u; quad += GROUPS) {
      sum = add_product(sum, load_dy(own.buffer, step_of(rows, quad)), load_w(part, step_of(cols, quad)), true, false);
    }
  }
  let inner = walk(0u, row, params.rows, params.ldh, true);
  let outer = walk(0u, col, params.inputs, params.inputs, false);
  keep(place, add_branch(sum, place, inner, outer, params.inner, false));
  workgroupBarrier();
  let at = vec2u(corner.x + lane / (COLS / 4u), corner.y + lane % (COLS / 4u) * 4u);
  if (at.x >= params.rows || at.y >= params.inputs) { return; }
  let to = (at.x * params.inputs + at.y) / 4u;
  if (ACCUMULATE) { out0[to] += total(lane); } else { out0[to] = total(lane); }
}
