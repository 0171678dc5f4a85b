// act(x) and its derivative. Needs `alias elem` and `const ACTIVATION: u32`, numbered as in kernels/activation.ts.

// exp overflows past 88; there the sigmoid is 0 or 1 to f32 precision.
fn sigmoid(x: elem) -> elem {
  return 1.0 / (1.0 + exp(-clamp(x, elem(-80.0), elem(80.0))));
}

// Some drivers return NaN for large arguments, and tanh(15) rounds to 1.
fn bounded_tanh(x: elem) -> elem {
  return tanh(clamp(x, elem(-15.0), elem(15.0)));
}

// tanh(sqrt(2 / pi) (x + 0.044715 x^3))
fn gelu_inner(x: elem) -> elem {
  return bounded_tanh(0.7978845608028654 * x * (1.0 + 0.044715 * x * x));
}

// exp(-x^2 / 2); past 80 it is 0 to f32 precision, and some drivers leave exp's range.
fn bell(x: elem) -> elem {
  return exp(-min(0.5 * x * x, elem(80.0)));
}

// (1 + erf(x / sqrt(2))) / 2, to 8e-8. Abramowitz & Stegun 1964, 7.1.26.
fn normal_cdf(x: elem) -> elem {
  let t = 1.0 / (1.0 + 0.3275911 * 0.7071067811865476 * abs(x));
  let p = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  let tail = 0.5 * p * bell(x);
  return select(tail, 1.0 - tail, x > elem(0.0));
}

// 1 where x is positive, else 0.
fn is_positive(x: elem) -> elem {
  return select(elem(0.0), elem(1.0), x > elem(0.0));
}

// act and act'. Who needs one of them leaves the other to the compiler, which drops it.
struct Activated { value: elem, slope: elem }

fn activated(x: elem) -> Activated {
  if (ACTIVATION == 0u) {
    let s = sigmoid(x);
    return Activated(x * s, s * (1.0 + x * (1.0 - s)));
  }
  if (ACTIVATION == 1u) {
    let t = gelu_inner(x);
    let inner = 0.7978845608028654 * (1.0 + 3.0 * 0.044715 * x * x);
    return Activated(0.5 * x * (1.0 + t), 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner);
  }
  if (ACTIVATION == 2u) {
    let p = normal_cdf(x);
    return Activated(x * p, p + 0.3989422804014327 * x * bell(x));
  }
  if (ACTIVATION == 3u) { return Activated(x * is_positive(x), is_positive(x)); }
  if (ACTIVATION == 4u) { return Activated(x * x * is_positive(x), 2.0 * x * is_positive(x)); }
  if (ACTIVATION == 5u) {
    let s = sigmoid(1.702 * x);
    return Activated(x * s, s * (1.0 + 1.702 * x * (1.0 - s)));
  }
  let t = bounded_tanh(x);
  return Activated(t, 1.0 - t * t);
}
