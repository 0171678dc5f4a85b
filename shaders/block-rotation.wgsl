// skew: q[k,i,j] = v[k,e(i,j)] = -q[k,j,i],  product: y[t,k,j] = alpha sum over i of x[t,k,i] m[k,i,j],  inverse: (I + q)^-1 of each block
// One invocation per element of skew, product and outer; a workgroup per block of inverse, an invocation per row; one per block of project.
struct Params {
  rows: u32, blocks: u32, size: u32,  // size: of a block along each axis
  row: u32, block: u32,               // from one row, or block, of x and y to the next
  matrix: u32,                        // from one block of m to the next: 0 where all share one
  alpha: f32, bound: f32
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> v: array<f32>;               // [blocks, size (size - 1) / 2]
@group(0) @binding(2) var<storage, read_write> q: array<f32>;         // [blocks, size, size]
@group(0) @binding(3) var<storage, read> q_in: array<f32>;
@group(0) @binding(4) var<storage, read_write> v_out: array<f32>;
@group(0) @binding(5) var<storage, read> x: array<f32>;
@group(0) @binding(6) var<storage, read> m: array<f32>;
@group(0) @binding(7) var<storage, read_write> y: array<f32>;
@group(0) @binding(8) var<storage, read> y_in: array<f32>;
@group(0) @binding(9) var<storage, read_write> m_out: array<f32>;
@group(0) @binding(10) var<storage, read_write> work: array<f32>;     // as large as q
@group(0) @binding(12) var<storage, read> x_wide: array<vec4f>;       // the same where the size is a multiple of four
@group(0) @binding(13) var<storage, read> m_wide: array<vec4f>;
@group(0) @binding(14) var<storage, read_write> y_wide: array<vec4f>;
@group(0) @binding(15) var<storage, read> y_wide_in: array<vec4f>;
@group(0) @binding(16) var<storage, read_write> m_wide_out: array<vec4f>;
@group(0) @binding(11) var<storage, read> outcome: array<f32>;        // of gradient-norm.wgsl

const WG: u32 = 64u;
const ACCUMULATE: bool = false;
const TRANSPOSED: bool = false; // m
const GATED: bool = false;      // project: nothing changes behind a step that was skipped

// Place of the element (i, j) above the diagonal among those of its block.
fn element(i: u32, j: u32) -> u32 { return i * params.size - i * (i + 1u) / 2u + j - i - 1u; }
fn elements() -> u32 { return params.size * (params.size - 1u) / 2u; }

@compute @workgroup_size(WG)
fn skew(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let at = (group.y * grid.x + group.x) * WG + lane;
  let area = params.size * params.size;
  if (at >= params.blocks * area) { return; }
  let k = at / area;
  let i = at % area / params.size;
  let j = at % params.size;
  var value = 0.0;
  if (i < j) { value = v[k * elements() + element(i, j)]; }
  if (i > j) { value = -v[k * elements() + element(j, i)]; }
  q[at] = value;
}

@compute @workgroup_size(WG)
fn skew_gradient(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let at = (group.y * grid.x + group.x) * WG + lane;
  let area = params.size * params.size;
  if (at >= params.blocks * area) { return; }
  let k = at / area;
  let i = at % area / params.size;
  let j = at % params.size;
  if (i >= j) { return; }
  let place = k * elements() + element(i, j);
  let value = q_in[at] - q_in[k * area + j * params.size + i];
  if (ACCUMULATE) { v_out[place] += value; } else { v_out[place] = value; }
}

@compute @workgroup_size(WG)
fn product(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let at = (group.y * grid.x + group.x) * WG + lane;
  let wide = params.blocks * params.size;
  if (at >= params.rows * wide) { return; }
  let k = at % wide / params.size;
  let j = at % params.size;
  let base = at / wide * params.row + k * params.block;
  var sum = 0.0;
  for (var i = 0u; i < params.size; i++) {
    let place = select(i * params.size + j, j * params.size + i, TRANSPOSED);
    sum += x[base + i] * m[k * params.matrix + place];
  }
  if (ACCUMULATE) { y[base + j] += params.alpha * sum; } else { y[base + j] = params.alpha * sum; }
}

fn times(line: vec4f, four: mat4x4f) -> vec4f { return four * line; } // the columns of four are rows of m

// The same, four rows and four columns an invocation.
@compute @workgroup_size(WG)
fn product_wide(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let at = (group.y * grid.x + group.x) * WG + lane;
  let quads = params.size / 4u;
  let wide = params.blocks * quads;
  let first = at / wide * 4u;
  if (first >= params.rows) { return; }
  let k = at % wide / quads;
  let j = at % quads;
  let last = params.rows - 1u;
  let b0 = (first * params.row + k * params.block) / 4u;
  let b1 = (min(first + 1u, last) * params.row + k * params.block) / 4u;
  let b2 = (min(first + 2u, last) * params.row + k * params.block) / 4u;
  let b3 = (min(first + 3u, last) * params.row + k * params.block) / 4u;
  let matrix = k * params.matrix / 4u + j;
  var s0 = vec4f(); var s1 = vec4f(); var s2 = vec4f(); var s3 = vec4f();
  for (var i = 0u; i < quads; i++) {
    let corner = matrix + 4u * i * quads;
    let four = mat4x4f(m_wide[corner], m_wide[corner + quads], m_wide[corner + 2u * quads], m_wide[corner + 3u * quads]);
    s0 += times(x_wide[b0 + i], four);
    s1 += times(x_wide[b1 + i], four);
    s2 += times(x_wide[b2 + i], four);
    s3 += times(x_wide[b3 + i], four);
  }
  put(b0 + j, s0);
  if (first + 1u <= last) { put(b1 + j, s1); }
  if (first + 2u <= last) { put(b2 + j, s2); }
  if (first + 3u <= last) { put(b3 + j, s3); }
}

fn put(at: u32, sum: vec4f) {
  if (ACCUMULATE) { y_wide[at] += params.alpha * sum; } else { y_wide[at] = params.alpha * sum; }
}

// m_out[k,i,j] = alpha sum over t of x[t,k,i] y[t,k,j], over all blocks where they share a matrix
@compute @workgroup_size(WG)
fn outer(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let at = (group.y * grid.x + group.x) * WG + lane;
  let area = params.size * params.size;
  let isShared = params.matrix == 0u;
  if (at >= select(params.blocks, 1u, isShared) * area) { return; }
  let own = at / area;
  let i = at % area / params.size;
  let j = at % params.size;
  var sum = 0.0;
  for (var k = own; k < select(own + 1u, params.blocks, isShared); k++) {
    for (var t = 0u; t < params.rows; t++) {
      let base = t * params.row + k * params.block;
      sum += x[base + i] * y_in[base + j];
    }
  }
  if (ACCUMULATE) { m_out[at] += params.alpha * sum; } else { m_out[at] = params.alpha * sum; }
}

// The same, four by four elements an invocation.
@compute @workgroup_size(WG)
fn outer_wide(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let at = (group.y * grid.x + group.x) * WG + lane;
  let quads = params.size / 4u;
  let isShared = params.matrix == 0u;
  let own = at / (quads * quads);
  if (own >= select(params.blocks, 1u, isShared)) { return; }
  let i = at % (quads * quads) / quads;
  let j = at % quads;
  var s0 = vec4f(); var s1 = vec4f(); var s2 = vec4f(); var s3 = vec4f();
  for (var k = own; k < select(own + 1u, params.blocks, isShared); k++) {
    for (var t = 0u; t < params.rows; t++) {
      let base = (t * params.row + k * params.block) / 4u;
      let value = x_wide[base + i];
      let other = y_wide_in[base + j];
      s0 += value.x * other;
      s1 += value.y * other;
      s2 += value.z * other;
      s3 += value.w * other;
    }
  }
  let base = own * params.size * quads + 4u * i * quads + j;
  put_outer(base, s0);
  put_outer(base + quads, s1);
  put_outer(base + 2u * quads, s2);
  put_outer(base + 3u * quads, s3);
}

fn put_outer(at: u32, sum: vec4f) {
  if (ACCUMULATE) { m_wide_out[at] += params.alpha * sum; } else { m_wide_out[at] = params.alpha * sum; }
}

// Gauss and Jordan without exchanges: the symmetric part of I + q is I, so no pivot is small.
@compute @workgroup_size(WG)
fn inverse(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n = params.size;
  let base = (group.y * grid.x + group.x) * n * n;
  for (var i = lane; i < n; i += WG) {
    for (var j = 0u; j < n; j++) {
      work[base + i * n + j] = q_in[base + i * n + j] + select(0.0, 1.0, i == j);
      m_out[base + i * n + j] = select(0.0, 1.0, i == j);
    }
  }
  for (var p = 0u; p < n; p++) {
    storageBarrier();
    workgroupBarrier();
    if (lane == p % WG) {
      let scale = 1.0 / work[base + p * n + p];
      for (var j = 0u; j < n; j++) {
        work[base + p * n + j] *= scale;
        m_out[base + p * n + j] *= scale;
      }
    }
    storageBarrier();
    workgroupBarrier();
    for (var i = lane; i < n; i += WG) {
      if (i == p) { continue; }
      let factor = work[base + i * n + p];
      for (var j = 0u; j < n; j++) {
        work[base + i * n + j] -= factor * work[base + p * n + j];
        m_out[base + i * n + j] -= factor * m_out[base + p * n + j];
      }
    }
  }
}

// Blocks whose skew matrix has a norm above the bound are scaled down to it.
@compute @workgroup_size(WG)
fn project(@builtin(global_invocation_id) id: vec3u) {
  let k = id.x;
  if (k >= params.blocks) { return; }
  if (GATED) { if (outcome[1] == 0.0) { return; } }
  var sum = 0.0;
  for (var e = 0u; e < elements(); e++) { sum += v_out[k * elements() + e] * v_out[k * elements() + e]; }
  let norm = sqrt(2.0 * sum);
  if (norm <= params.bound) { return; }
  for (var e = 0u; e < elements(); e++) { v_out[k * elements() + e] *= params.bound / norm; }
}
