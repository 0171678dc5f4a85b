// What each token of a text costs a model, as colours and numbers.
import type { RowLosses } from "../../train/loss-map.ts";
import { byId } from "./dom.ts";

/** The loss of the tokens with the strongest colour, nats: the model gave them less than 1 in 400. */
const STRONGEST = 6;

/** Shows the tokens of a text in an element; returns their mean loss, nats. */
export function showLosses(id: string, { tokens, losses }: RowLosses): number {
  const items = tokens.map(({ text }, i) => itemOf(text, losses[i] as number));
  byId(id, HTMLElement).replaceChildren(...items);
  const learnt = losses.filter((loss) => !Number.isNaN(loss));
  return learnt.reduce((sum, loss) => sum + loss, 0) / learnt.length;
}

function itemOf(text: string, loss: number): HTMLElement {
  const item = document.createElement("li");
  const isRead = Number.isNaN(loss); // the first one, which nothing comes before
  const value = Object.assign(document.createElement("small"), {
    textContent: isRead ? "–" : loss.toFixed(1),
  });
  item.append(text, value);
  if (!isRead) item.style.setProperty("--loss", String(Math.min(1, loss / STRONGEST)));
  return item;
}
