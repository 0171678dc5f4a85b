// Outer products inside one subgroup: lanes hold rows of A and broadcast them. Needs a constant SG, the subgroup's lanes.
// What lanes first .. first + 3 hold: rows 4g .. 4g + 3 live in lanes 4g mod SG and the following.
fn from_lanes(x: f32, first: u32) -> vec4f {
  return vec4f(
    subgroupShuffle(x, first), subgroupShuffle(x, first + 1u), subgroupShuffle(x, first + 2u), subgroupShuffle(x, first + 3u)
  );
}

// Column i of the result: row i of the block, four columns of C wide.
fn outer(row: vec4f, weights: vec4f) -> mat4x4f {
  return mat4x4f(row.x * weights, row.y * weights, row.z * weights, row.w * weights);
}

// A(4g .. 4g + 3, p .. p + 3), of which lanes first .. first + 3 hold a row each, times B(p .. p + 3, col .. col + 3).
fn product(v: vec4f, w: mat4x4f, first: u32) -> mat4x4f {
  let low = outer(from_lanes(v.x, first), w[0]) + outer(from_lanes(v.y, first), w[1]);
  return low + outer(from_lanes(v.z, first), w[2]) + outer(from_lanes(v.w, first), w[3]);
}

// select(), which takes no matrices.
fn choose(a: mat4x4f, b: mat4x4f, is_second: bool) -> mat4x4f {
  return mat4x4f(
    select(a[0], b[0], is_second), select(a[1], b[1], is_second), select(a[2], b[2], is_second), select(a[3], b[3], is_second)
  );
}
