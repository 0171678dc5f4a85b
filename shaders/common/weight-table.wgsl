// Value of a code of the formats with a table, of common/weight.wgsl.
fn table_value(code: u32) -> f32 {
  if (FORMAT == 8u) { return FP4[code]; }
  return NF4[code];
}
