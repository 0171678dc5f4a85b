// Sum of `value` over the workgroup; every invocation gets it. Needs `const WG: u32`, a power of two.
var<workgroup> reduce_scratch: array<f32, WG>;

fn workgroup_sum(value: f32, lane: u32) -> f32 {
  workgroupBarrier(); // an earlier reduction may still be reading
  reduce_scratch[lane] = value;
  for (var stride = WG / 2u; stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (lane < stride) {
      reduce_scratch[lane] += reduce_scratch[lane + stride];
    }
  }
  workgroupBarrier();
  return reduce_scratch[0];
}

fn workgroup_max(value: f32, lane: u32) -> f32 {
  workgroupBarrier();
  reduce_scratch[lane] = value;
  for (var stride = WG / 2u; stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (lane < stride) {
      reduce_scratch[lane] = max(reduce_scratch[lane], reduce_scratch[lane + stride]);
    }
  }
  workgroupBarrier();
  return reduce_scratch[0];
}
