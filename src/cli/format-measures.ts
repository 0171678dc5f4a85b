/** What a line says of what is measured beside the loss: how well answers are told apart. */
export function describeMetrics(metrics: Readonly<Record<string, number>>): string {
  const shown = SHOWN_METRICS.filter((name) => Object.hasOwn(metrics, name));
  return shown.map((name) => `${name} ${(metrics[name] as number).toFixed(3)}`).join(", ");
}

const SHOWN_METRICS = ["rewards/accuracies", "rewards/margins", "accuracy", "margin", "kl", "nll_loss"];
