// Which of `count` elements an invocation handles. Needs a constant WG, the invocations of a workgroup.
// first, first + WG, ... below end: a workgroup goes through a run of neighbours, so that a CPU that computes one after the
// other stays within a few pages of memory.
struct Elements { first: u32, end: u32 }

// id: of the invocation among those of all `groups` workgroups.
fn own_elements(id: u32, groups: u32, count: u32) -> Elements {
  let run = (count + groups * WG - 1u) / (groups * WG) * WG;
  let start = id / WG * run;
  return Elements(start + id % WG, min(start + run, count));
}
