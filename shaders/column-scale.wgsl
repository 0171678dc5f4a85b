// y[r, c] = x[r, c] * scale[c] * fixed[c],  y[r, c] = x[r, c] * values[r];  with y for its gradient, x for dy:
// dscale[c] = fixed[c] * sum over r of dy[r, c] * x[r, c]
// Each workgroup goes through a run of elements (vectors of four where rows allow); backward: see there.
struct Params { count: u32, rows: u32, cols: u32 }

@group(0) @binding(0) var<uniform> params: Params; // count and cols in units of elem
@group(0) @binding(1) var<storage, read> x: array<stored>;
@group(0) @binding(2) var<storage, read> scale: array<elem>;         // [cols]
@group(0) @binding(3) var<storage, read> fixed: array<elem>;         // [cols]; anything unless FIXED
@group(0) @binding(4) var<storage, read_write> y: array<stored>;       // of backward dx
@group(0) @binding(5) var<storage, read> values: array<f32>;         // [rows]
@group(0) @binding(6) var<storage, read> dy: array<stored>;            // [rows, cols]
@group(0) @binding(7) var<storage, read_write> dscale: array<elem>;  // [cols]

alias elem = vec4f; // f32 where the columns are not a multiple of four
alias stored = elem; // what activations lie in: halves in mixed precision
const FIXED: bool = false;      // there is a second factor, of which no gradient is wanted
const ACCUMULATE: bool = false; // add to the output (of backward to dscale) instead of overwriting it
const WG: u32 = 64u;
const LANES: u32 = 32u;         // columns (of elem) of a workgroup of backward
const LINES: u32 = 8u;          // and among how many invocations their rows are dealt out, at most 256 / LANES
// #import "common/elements.wgsl"

fn factor(col: u32) -> elem {
  if (FIXED) { return scale[col] * fixed[col]; }
  return scale[col];
}

@compute @workgroup_size(WG)
fn column_scale(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) {
    let value = elem(x[i]) * factor(i % params.cols);
    if (ACCUMULATE) { y[i] = stored(elem(y[i]) + value); } else { y[i] = stored(value); }
  }
}

// rows is the first row of x here: the factors are those of all rows.
@compute @workgroup_size(WG)
fn row_scale(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  let own = own_elements(id.x, grid.x, params.count);
  for (var i = own.first; i < own.end; i += WG) { y[i] = stored(elem(x[i]) * values[params.rows + i / params.cols]); }
}

var<workgroup> partial: array<elem, 256>;

// dx and dscale in one pass over dy. A workgroup owns LANES columns; each of its LINES lines of invocations goes through every
// LINES-th row, then the sums of the lines are added.
@compute @workgroup_size(LANES, LINES)
fn backward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) lane: vec3u) {
  let col = group.x * LANES + lane.x;
  var sum = elem();
  if (col < params.cols) {
    let own = factor(col);
    for (var row = lane.y; row < params.rows; row += LINES) {
      let i = row * params.cols + col;
      sum += elem(dy[i]) * elem(x[i]);
      y[i] = stored(elem(dy[i]) * own);
    }
  }
  if (LINES > 1u) {
    partial[lane.y * LANES + lane.x] = sum;
    workgroupBarrier();
    sum = elem();
    for (var line = 0u; line < LINES; line++) { sum += partial[line * LANES + lane.x]; }
  }
  if (lane.y > 0u || col >= params.cols) { return; }
  if (FIXED) { sum *= fixed[col]; }
  if (ACCUMULATE) { dscale[col] += sum; } else { dscale[col] = sum; }
}
