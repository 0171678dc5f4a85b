// What the learning rate and the weight decay of an element are multiplied by: 64 elements share that. Needs
// params.first_block, params.block_shift (elems of a block, as a power of two), and `rates`, [blocks].
fn rates_of(i: u32) -> vec2f {
  return rates[params.first_block + (i >> params.block_shift)];
}
