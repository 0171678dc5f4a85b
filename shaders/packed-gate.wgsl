// y[r, i] = act(gate) * up, of a row of x that holds gates and ups: side by side, or in pairs
// Each workgroup goes through a run of elements of y. Shazeer 2020, arXiv 2002.05202; CLAMPED: gpt-oss, arXiv 2508.10925.
struct Params { count: u32, columns: u32 } // elements of y, and of a row of it

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>; // [R, 2 columns]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;

alias elem = f32;
const ACTIVATION: u32 = 0u;
const PAIRS: bool = false;  // gate and up of a pair are neighbours; else all gates come first
const LIMIT: f32 = 0.0;     // CLAMPED: gates are at most this, ups between it and its negative, and 1 is added to them; 0: off
const WG: u32 = 64u;
// #import "common/elements.wgsl"
// #import "common/activation.wgsl"

// Where the gate and the up of element i of y lie.
fn places(i: u32) -> vec2u {
  if (PAIRS) { return vec2u(2u * i, 2u * i + 1u); }
  let gate = i / params.columns * params.columns + i;
  return vec2u(gate, gate + params.columns);
}

fn gate_of(value: f32) -> f32 {
  if (LIMIT == 0.0) { return value; }
  return select(value, LIMIT, value > LIMIT); // unlike min, NaN stays NaN
}

fn up_of(value: f32) -> f32 {
  if (LIMIT == 0.0) { return value; }
  return select(select(value, -LIMIT, value < -LIMIT), LIMIT, value > LIMIT) + 1.0;
}

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) {
    let at = places(i);
    y[i] = activated(gate_of(x[at.x])).value * up_of(x[at.y]);
  }
}

// dgate = dy up act'(gate),  dup = dy act(gate), 0 beyond a limit
@compute @workgroup_size(WG)
fn backward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) {
    let at = places(i);
    let gate = x[at.x];
    let up = x[at.y];
    let act = activated(gate_of(gate));
    var dgate = dy[i] * up_of(up) * act.slope;
    var dup = dy[i] * act.value;
    if (LIMIT > 0.0) {
      dgate = select(dgate, 0.0, gate > LIMIT);
      dup = select(dup, 0.0, abs(up) > LIMIT);
    }
    dx[at.x] = dgate;
    dx[at.y] = dup;
  }
}
