// Values of four codes of the formats with a table, of common/weight.wgsl.
fn table_values(codes: vec4u) -> vec4f {
  if (FORMAT == 9u) { return e2m1(codes); }
  if (FORMAT == 8u) { return vec4f(FP4[codes.x], FP4[codes.y], FP4[codes.z], FP4[codes.w]); }
  return vec4f(NF4[codes.x], NF4[codes.y], NF4[codes.z], NF4[codes.w]);
}

// E2M1 by arithmetic, which costs GPUs less than to look it up.
fn e2m1(codes: vec4u) -> vec4f {
  let magnitude = codes & vec4u(7u);
  let normal = bitcast<vec4f>((magnitude << vec4u(22u)) + vec4u(126u << 23u));
  let value = select(normal, vec4f(magnitude) * 0.5, magnitude < vec4u(2u));
  return select(value, -value, codes > vec4u(7u));
}
