// Sizes of attention's kernels for matrix units. Needs common/attention.wgsl.
const FM: u32 = 16u;        // a fragment of results is the sum of products of FM x FK by FK x FN
const FN: u32 = 16u;
const FK: u32 = 16u;
alias unit = f16;           // what the units multiply: f16 or f32
const LANES: u32 = 32u;     // of a subgroup
const SUBGROUPS: u32 = 4u;
const OTHERS: u32 = 32u;    // rows of the other side that are visited at a time
const OWN: u32 = SUBGROUPS * FM; // rows of a workgroup: FM a subgroup
const INVOCATIONS: u32 = SUBGROUPS * LANES;
const PARTS: u32 = LANES / FM;   // invocations that share a row of products
const PART: u32 = OTHERS / PARTS; // columns of each
const COLS: u32 = HEAD_DIM / FN; // fragments along a head, at most eight
const GROUP: u32 = OTHERS / FN;  // and along a row of products
const ALONG: u32 = HEAD_DIM + 8u; // strides of staged rows and columns, so that neighbours lie in different banks
const ACROSS: u32 = OTHERS + 8u;
const WIDTH: u32 = OTHERS + 4u;   // of a row of products
const BLOCKS: u32 = (OTHERS * DV / 4u + INVOCATIONS - 1u) / INVOCATIONS; // of four rows by four columns, an invocation
