// 4x4 blocks of the operands of C = alpha op(A) op(B) + H op(E). Needs the bindings and constants of matmul-tile.wgsl and
// common/weight-vectors.wgsl. What lies past an edge repeats the last row or column; past the end of a sum, A and H are zero.
fn four(first: u32, end: u32) -> vec4u {
  return min(first + vec4u(0u, 1u, 2u, 3u), vec4u(end - 1u)); // past the end the last one is repeated
}

// A(row .. row + 3, p .. p + 3), column j of the matrix being column p + j; zero where p is past the end.
fn load_a(row: u32, p: u32) -> mat4x4f {
  if (A_TRANSPOSED) {
    let i = (params.a_offset + four(p, params.k) * params.lda + min(row, params.m - 4u)) / 4u;
    let left = select(vec4f(), vec4f(params.alpha), p + vec4u(0u, 1u, 2u, 3u) < vec4u(params.k));
    return mat4x4f(left.x * vec4f(a[i.x]), left.y * vec4f(a[i.y]), left.z * vec4f(a[i.z]), left.w * vec4f(a[i.w]));
  }
  let i = (params.a_offset + four(row, params.m) * params.lda + min(p, params.k - 4u)) / 4u;
  return select(0.0, params.alpha, p < params.k) * transpose(mat4x4f(vec4f(a[i.x]), vec4f(a[i.y]), vec4f(a[i.z]), vec4f(a[i.w])));
}

// B(p .. p + 3, col .. col + 3), column j of the matrix being row p + j.
fn load_b(p: u32, col: u32) -> mat4x4f {
  if (B_TRANSPOSED) {
    let i = (params.b_offset + four(col, params.n) * params.ldb + min(p, params.k - 4u)) / 4u;
    return transpose(mat4x4f(decode4(i.x), decode4(i.y), decode4(i.z), decode4(i.w)));
  }
  let i = (params.b_offset + four(p, params.k) * params.ldb + min(col, params.n - 4u)) / 4u;
  return mat4x4f(decode4(i.x), decode4(i.y), decode4(i.z), decode4(i.w));
}

fn load_h(row: u32, p: u32) -> mat4x4f {
  let i = (params.h_offset + four(row, params.m) * params.ldh + min(p, params.k_extra - 4u)) / 4u;
  return select(0.0, 1.0, p < params.k_extra) * transpose(mat4x4f(h[i.x], h[i.y], h[i.z], h[i.w]));
}

fn load_e(p: u32, col: u32) -> mat4x4f {
  if (B_TRANSPOSED) {
    let i = (params.e_offset + four(col, params.n) * params.k_extra + min(p, params.k_extra - 4u)) / 4u;
    return transpose(mat4x4f(e[i.x], e[i.y], e[i.z], e[i.w]));
  }
  let i = (params.e_offset + four(p, params.k_extra) * params.n + min(col, params.n - 4u)) / 4u;
  return mat4x4f(e[i.x], e[i.y], e[i.z], e[i.w]);
}
