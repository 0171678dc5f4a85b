// s = b1 s + (1 - b1) |p g|,  u = b2 u + (1 - b2) | |p g| - s |,  score[i] = (s u)(E_i) + mean (s u)(A_i) + mean (s u)(B_i)
// One invocation per element of importance; a workgroup per triplet of score; one invocation per triplet of choose.
struct Params {
  count: u32,                 // importance: in units of elem; choose: all scores
  beta1: f32, beta2: f32,
  inputs: u32, outputs: u32, rank: u32,
  a: u32, b: u32, e: u32,     // where they begin in the tensors of a site
  first: u32,                 // where a site's scores begin
  dropped: u32                // how many are masked
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> p: array<elem>;
@group(0) @binding(2) var<storage, read> gradient: array<elem>;
@group(0) @binding(3) var<storage, read_write> sensitivity: array<elem>;
@group(0) @binding(4) var<storage, read_write> uncertainty: array<elem>;
@group(0) @binding(5) var<storage, read> outcome: array<f32>;         // of gradient-norm.wgsl
@group(0) @binding(6) var<storage, read> site_sensitivity: array<f32>;
@group(0) @binding(7) var<storage, read> site_uncertainty: array<f32>;
@group(0) @binding(8) var<storage, read_write> scores_out: array<f32>; // of all triplets
@group(0) @binding(9) var<storage, read> scores: array<f32>;
@group(0) @binding(10) var<storage, read_write> kept: array<f32>;      // [rank]: 1 or 0
@group(0) @binding(11) var<storage, read_write> values: array<f32>;    // [rank]: E

alias elem = vec4f; // f32 where the size is not a multiple of four
const WG: u32 = 64u;
const CHOOSE: bool = true; // or only what was chosen before is applied
// #import "common/elements.wgsl"
// #import "common/reduce.wgsl"

@compute @workgroup_size(WG)
fn importance(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let factor = outcome[1];
  if (factor == 0.0) { return; } // the step was skipped
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) {
    let change = abs(p[i] * (factor * gradient[i]));
    let s = params.beta1 * sensitivity[i] + (1.0 - params.beta1) * change;
    sensitivity[i] = s;
    uncertainty[i] = params.beta2 * uncertainty[i] + (1.0 - params.beta2) * abs(change - s);
  }
}

fn element_score(i: u32) -> f32 { return site_sensitivity[i] * site_uncertainty[i]; }

@compute @workgroup_size(WG)
fn score(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = group.x;
  var of_a = 0.0;
  for (var k = lane; k < params.inputs; k += WG) { of_a += element_score(params.a + i * params.inputs + k); }
  var of_b = 0.0;
  for (var k = lane; k < params.outputs; k += WG) { of_b += element_score(params.b + k * params.rank + i); }
  let mean = workgroup_sum(of_a / f32(params.inputs) + of_b / f32(params.outputs), lane);
  if (lane == 0u) { scores_out[params.first + i] = element_score(params.e + i) + mean; }
}

// A triplet is masked whose score is at most the one in place `dropped` of all: which fewer than so many are below.
@compute @workgroup_size(WG)
fn choose(@builtin(global_invocation_id) id: vec3u) {
  let i = id.x;
  if (i >= params.rank || outcome[1] == 0.0) { return; }
  if (CHOOSE) {
    let own = scores[params.first + i];
    var below = 0u;
    for (var k = 0u; k < params.count; k++) { below += select(0u, 1u, scores[k] < own); }
    kept[i] = select(0.0, 1.0, below >= params.dropped);
  }
  if (kept[i] == 0.0) { values[i] = 0.0; }
}
