// Values of the formats with a table, of common/weight.wgsl, out of workgroup memory: for GPUs, whose own constants are as far
// away as a buffer. hold_table is called first, by all invocations.
var<workgroup> table: array<f32, 16>;

fn hold_table(lane: u32) {
  if (FORMAT > 6u) {
    if (lane < 16u) { table[lane] = table_entry(lane); }
    workgroupBarrier();
  }
}

fn table_values(codes: vec4u) -> vec4f {
  return vec4f(table[codes.x & 15u], table[codes.y & 15u], table[codes.z & 15u], table[codes.w & 15u]);
}
