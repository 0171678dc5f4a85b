// Where texels of panels lie: GROUP panels side by side, a texel of each row, then their next ones, so that who reads the columns of a
// group together reads on and on. Needs SG.
const WIDTH: u32 = 4096u; // of a line

// Texel i of row `lane` of a panel, its rows having so many.
fn texel_index(panel: u32, length: u32, i: u32, lane: u32) -> u32 {
  return ((panel / GROUP * length + i) * GROUP + panel % GROUP) * SG + lane;
}
