// Products of a few rows of x with weights in panels: what is read, and what is done with the sums. Needs the bindings and parameters
// of matvec-panels.wgsl, its constants SG, ROWS and COLUMNS, and common/activation.wgsl.

var<private> sums: array<array<f32, ROWS>, COLUMNS>;

fn texel(i: u32) -> vec4u { return textureLoad(panels, vec2u(i % WIDTH, i / WIDTH)); }

// What is added to the product with one of the weights.
fn branch(part: u32, r: u32, col: u32) -> f32 {
  var sum = 0.0;
  let row = r * params.ldh;
  if (part == 0u) {
    let at = params.e_offset + col * params.k_extra;
    for (var j = 0u; j < params.k_extra; j++) { sum += h[params.h_offset + row + j] * e[at + j]; }
  } else if (part == 1u) {
    for (var j = 0u; j < params.extra2; j++) { sum += h[params.h2 + row + j] * e2[col * params.extra2 + j]; }
  } else {
    for (var j = 0u; j < params.extra3; j++) { sum += h[params.h3 + row + j] * e3[col * params.extra3 + j]; }
  }
  return sum;
}

fn finish(c: u32, panel: u32, lane: u32) {
  if (panel >= params.panels) { return; }
  var part = 0u;
  var start = 0u;
  var n = params.n;
  var stride = params.ldc;
  var offset = params.c_offset;
  if (panel >= params.first3) {
    part = 2u; start = params.first3; n = params.n3; stride = n; offset = params.c3;
  } else if (panel >= params.first2) {
    part = 1u; start = params.first2; n = params.n2; stride = n; offset = params.c2;
  }
  let col = (panel - start) * SG + lane;
  if (col >= n) { return; }
  for (var r = 0u; r < ROWS; r++) {
    var sum = params.alpha * sums[c][r] + branch(part, r, col);
    let at = offset + r * stride + col;
    if (params.beta != 0.0) { sum += params.beta * y[at]; }
    y[at] = sum;
  }
}

fn finish_gated(c: u32, col: u32) {
  if (col >= params.n) { return; }
  for (var r = 0u; r < ROWS; r++) {
    let gate = sums[c][r] + branch(0u, r, col);
    let up = sums[c + 1u][r] + branch(1u, r, col);
    y[r * params.n + col] = activated(gate).value * up;
  }
}
