// kept[b, past + t] = new[b, t],  past being how many keys the row b had before
// Each workgroup goes through a run of elements of k and v. What does not fit is padding, and is left out.
struct Params { count: u32, row: u32, tokens: u32, capacity: u32 } // row: of one token, in units of elem; count: of k

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> k: array<elem>;            // [B, T, Hkv, D]
@group(0) @binding(2) var<storage, read> v: array<elem>;            // like k
@group(0) @binding(3) var<storage, read> spans: array<vec2u>;       // [B, T]; see common/attention.wgsl
@group(0) @binding(4) var<storage, read_write> keys: array<elem>;   // [B, capacity, Hkv, D]
@group(0) @binding(5) var<storage, read_write> values: array<elem>; // like keys

alias elem = vec4f; // f32 where a token's row is not a multiple of four
const WG: u32 = 64u;
// #import "common/elements.wgsl"

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) {
    let token = i / params.row;
    let batch = token / params.tokens;
    let last = spans[batch * params.tokens + params.tokens - 1u];
    let at = max(last.x, last.y) - params.tokens + token % params.tokens;
    if (at < params.capacity) {
      let to = (batch * params.capacity + at) * params.row + i % params.row;
      keys[to] = k[i];
      values[to] = v[i];
    }
  }
}
