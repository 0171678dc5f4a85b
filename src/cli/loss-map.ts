import { inOrder } from "../data/feed/in-order.ts";
import { firstRows, type ItemSource, type SourceItem } from "../data/feed/item-source.ts";
import { tokenViewer } from "../data/inspect/row-view.ts";
import type { Sequence } from "../data/sequence.ts";
import type { Tokenizer } from "../io/tokenizer/tokenizer.ts";
import { type LoadedModel, requireTokenizer } from "../load/model.ts";
import { lossOfTokens } from "../train/token-losses.ts";
import { append } from "../util/arrays.ts";
import { escapeHtml } from "../util/html.ts";
import { count } from "./format.ts";
import { htmlPage } from "./html-page.ts";
import { PAGE_STYLE } from "./inspect/page-style.ts";

/** A row, and what each of its tokens costs the base model and the one with adapters. */
export interface MappedRow {
  readonly name: string;
  readonly sequence: Sequence;
  /** −log p of each token, nats; NaN where it is not learnt. */
  readonly base: Float32Array;
  /** The same with adapters; absent where there are none. */
  readonly adapted?: Float32Array;
}

/** What a map is of. */
export interface MapSubject {
  readonly model: string;
  readonly data: string;
}

/** Of which rows a loss map is, and how it is made. */
export interface LossMapOptions {
  /** Rows at most. */
  readonly rows: number;
  readonly batchSize: number;
}

/**
 * Computes what each token costs, and makes the page.
 * @throws LoraError where the model has no tokenizer
 */
export async function mapLosses(
  model: LoadedModel<"causal-lm">,
  items: readonly Sequence[] | ItemSource<Sequence>,
  { nameRow: nameOf, ...subject }: MapSubject & { readonly nameRow: (place: number) => string },
  { rows: most, batchSize }: LossMapOptions,
): Promise<string> {
  const tokenizer = requireTokenizer(model);
  const mapped: SourceItem<Sequence>[] = [];
  for await (const part of inOrder(firstRows(items, most))) append(mapped, part);
  const shown = mapped.map(({ item }) => item);
  const nameRow = (item: number) => nameOf((mapped[item] as SourceItem<Sequence>).place);
  const hasAdapters = model.adapters.all.length > 0;
  const base = await lossOfTokens(model.withAdapters([]), shown, { batchSize, nameRow });
  const adapted = hasAdapters ? await lossOfTokens(model, shown, { batchSize, nameRow }) : [];
  const rows = shown.map((sequence, i): MappedRow => {
    const pair = {
      base: base[i] as Float32Array,
      ...(hasAdapters && { adapted: adapted[i] as Float32Array }),
    };
    return { name: nameRow(i), sequence, ...pair };
  });
  return lossMapPage(subject, rows, tokenizer);
}

/** The loss of the tokens with the strongest colour, nats: the model gave them less than 1 in 400. */
const STRONGEST = 6;

/** A page of rows, each token the stronger coloured the less the model expected it: the base model beside the one with adapters. */
export function lossMapPage(subject: MapSubject, rows: readonly MappedRow[], tokenizer: Tokenizer): string {
  const view = tokenViewer(tokenizer);
  const [base, adapted] = [rows.map(({ base }) => base), rows.flatMap(({ adapted }) => adapted ?? [])];
  const means = [
    ["base model", meanOf(base)] as const,
    ...(adapted.length > 0 ? [["with adapters", meanOf(adapted)] as const] : []),
  ];
  const tiles = [
    ...means.map(([name, mean]) => tile(name, mean.toFixed(3), "nats a token")),
    tile(
      "rows",
      count(rows.length),
      `${count(base.reduce((sum, losses) => sum + losses.filter(Number.isFinite).length, 0))} tokens learnt`,
    ),
  ];
  const tokens = (ids: readonly number[], losses: Float32Array, other: Float32Array | undefined) =>
    ids
      .map((id, i) => {
        const loss = losses[i] ?? Number.NaN;
        const { text, isSpecial } = view(id, Number.isNaN(loss) ? "masked" : "trained");
        const beside = other === undefined ? "" : `, the other ${shown(other[i])}`;
        const heat = Number.isNaN(loss) ? "" : ` style="--loss:${Math.min(1, loss / STRONGEST).toFixed(3)}"`;
        const kind = Number.isNaN(loss) ? "read" : "hot";
        return `<span class="${kind}${isSpecial ? " special" : ""}"${heat} title="id ${id}: ${shown(loss)}${beside}">${escapeHtml(text)}</span>${text.endsWith("↵") ? "<br>" : "<wbr>"}`;
      })
      .join("");
  const article = ({ name, sequence, base, adapted }: MappedRow) => {
    const ids = [...sequence.inputIds];
    const side = (title: string, losses: Float32Array, other: Float32Array | undefined) =>
      `<div><h4>${title} <b>${meanOf([losses]).toFixed(3)}</b></h4><p class="tokens">${tokens(ids, losses, other)}</p></div>`;
    return `<article><h3>${escapeHtml(name)}</h3><div class="sides">${side("base", base, adapted)}${adapted ? side("with adapters", adapted, base) : ""}</div></article>`;
  };
  return htmlPage({
    title: `${subject.data}: what ${subject.model} did not expect`,
    style: `${PAGE_STYLE}${MAP_STYLE}`,
    header: `<h1>${escapeHtml(subject.data)}</h1>
<p>What <b>${escapeHtml(subject.model)}</b> did not expect: a token is the stronger coloured the larger its loss, fully from ${STRONGEST} nats on. Tokens in grey are only read.</p>`,
    main: `<dl class="figures">${tiles.join("")}</dl>
<section>${rows.map(article).join("\n")}</section>`,
  });
}

const tile = (name: string, value: string, more: string) =>
  `<div><dt>${name}</dt><dd><b>${value}</b><span>${more}</span></dd></div>`;

const shown = (loss: number | undefined) =>
  loss === undefined || Number.isNaN(loss) ? "not learnt" : `${loss.toFixed(3)} nats`;

/** The mean over all tokens that are learnt. */
function meanOf(losses: readonly Float32Array[]): number {
  let [sum, terms] = [0, 0];
  for (const row of losses)
    for (const loss of row) {
      if (Number.isNaN(loss)) continue;
      sum += loss;
      terms++;
    }
  return sum / Math.max(1, terms);
}

const MAP_STYLE = `
:root { --heat: light-dark(#e0592a, #e8703f); }
section { margin-top: 1.2rem; }
.sides { display: grid; grid-template-columns: minmax(0, 1fr); gap: .4rem 1.2rem; }
@media (min-width: 48rem) { .sides { grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); } }
h4 { margin: .4rem 0 0; font-size: .85rem; font-weight: 400; color: var(--quiet); }
h4 b { color: var(--text); font-variant-numeric: tabular-nums; }
.hot { border-radius: 3px; background: color-mix(in srgb, var(--heat) calc(var(--loss) * 100%), transparent); }
`;
