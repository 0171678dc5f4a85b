// Stateless random bits from (seed, index). Needs `alias words`: u32, or vec4u for four indices at a time.
// Two rounds of PCG-RXS-M-XS (O'Neill 2014; Jarzynski & Olano 2020): one round of a counter still shows its stride.
fn pcg(x: words) -> words {
  let state = x * 747796405u + 2891336453u;
  let word = ((state >> ((state >> words(28u)) + words(4u))) ^ state) * 277803737u;
  return (word >> words(22u)) ^ word;
}

fn random_bits(seed: u32, index: words) -> words {
  return pcg(pcg(index) + pcg(words(seed)));
}
