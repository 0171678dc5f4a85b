// y = act(gate) * up,  act = silu or gelu_tanh
// Each invocation strides over the elements, in vectors of four where the size allows. Shazeer 2020, arXiv 2002.05202.
struct Params { count: u32 } // in units of elem

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gate: array<elem>;
@group(0) @binding(2) var<storage, read> up: array<elem>;
@group(0) @binding(3) var<storage, read_write> y: array<elem>;
@group(0) @binding(4) var<storage, read> dy: array<elem>;
@group(0) @binding(5) var<storage, read_write> dgate: array<elem>;
@group(0) @binding(6) var<storage, read_write> dup: array<elem>;

alias elem = vec4f; // f32 where the size is not a multiple of four
const ACTIVATION: u32 = 0u; // 0 silu, 1 gelu_tanh

// exp overflows past 88; there the sigmoid is 0 or 1 to f32 precision.
fn sigmoid(x: elem) -> elem {
  return 1.0 / (1.0 + exp(-clamp(x, elem(-80.0), elem(80.0))));
}

// tanh(sqrt(2 / pi) (x + 0.044715 x^3)); some drivers return NaN for large arguments, and tanh(15) rounds to 1.
fn gelu_inner(x: elem) -> elem {
  let t = 0.7978845608028654 * x * (1.0 + 0.044715 * x * x);
  return tanh(clamp(t, elem(-15.0), elem(15.0)));
}

// act and act'.
struct Activated { value: elem, slope: elem }

fn activated(x: elem) -> Activated {
  if (ACTIVATION == 0u) {
    let s = sigmoid(x);
    return Activated(x * s, s * (1.0 + x * (1.0 - s)));
  }
  let t = gelu_inner(x);
  let inner = 0.7978845608028654 * (1.0 + 3.0 * 0.044715 * x * x);
  return Activated(0.5 * x * (1.0 + t), 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner);
}

@compute @workgroup_size(64)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  for (var i = id.x; i < params.count; i += grid.x * 64u) { y[i] = activated(gate[i]).value * up[i]; }
}

// dgate = dy * up * act'(gate),  dup = dy * act(gate)
@compute @workgroup_size(64)
fn backward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) grid: vec3u) {
  for (var i = id.x; i < params.count; i += grid.x * 64u) {
    let g = dy[i];
    let act = activated(gate[i]);
    dgate[i] = g * up[i] * act.slope;
    dup[i] = g * act.value;
  }
}
