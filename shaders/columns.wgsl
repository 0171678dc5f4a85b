// y[r, c] = x[r, start + c],  and backward: dx[r, start + c] += dy[r, c]
// Each invocation strides over the elements of the narrow side, in vectors of four where they fit.
struct Params { count: u32, width: u32, cols: u32, start: u32 } // all in units of elem: y has `width` columns, x `cols`

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<elem>;
@group(0) @binding(2) var<storage, read_write> y: array<elem>;
@group(0) @binding(3) var<storage, read> dy: array<elem>;
@group(0) @binding(4) var<storage, read_write> dx: array<elem>;

alias elem = vec4f; // f32 where start, width or cols is not a multiple of four

fn wide(i: u32) -> u32 {
  return i / params.width * params.cols + params.start + i % params.width;
}

@compute @workgroup_size(256)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  for (var i = id.x; i < params.count; i += grid.x * 256u) { y[i] = x[wide(i)]; }
}

@compute @workgroup_size(256)
fn backward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  for (var i = id.x; i < params.count; i += grid.x * 256u) { dx[wide(i)] += dy[i]; }
}
