// What a row of scores comes to at its end: sinks, the factor of the weighted sum, and the logsumexp. Needs common/attention.wgsl
// and a binding sinks. A sink is one more score of a head, of a key that nothing is mixed from: it takes its share of the
// softmax alone. gpt-oss, OpenAI 2025, arXiv 2508.10925.
const SINKS: bool = false;
const UNSEEN: f32 = 1e30; // logsumexp of a query that sees no key: exp(s - UNSEEN) is 0

struct Totals { factors: vec4f, logsumexp: vec4f }

// m, l: the largest score of four queries and the sum of exp(s - m). Queries that see nothing, such as those in the padding,
// give zeros.
fn totals(m: vec4f, l: vec4f, head: u32) -> Totals {
  var top = m;
  var total = l;
  var share = vec4f(1.0);
  if (SINKS) {
    top = max(m, vec4f(sinks[head]));
    share = exp(m - top);
    total = l * share + exp(sinks[head] - top);
  }
  let alive = l > vec4f();
  let sum = max(total, vec4f(1e-30));
  return Totals(select(vec4f(), share / sum, alive), select(vec4f(UNSEEN), top + log(sum), alive));
}
