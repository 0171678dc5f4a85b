import { expect, test } from "vitest";
import { inspectPage } from "../../src/cli/inspect/page.ts";
import { DataInspector } from "../../src/data/inspect/inspector.ts";
import { rowViewer } from "../../src/data/inspect/row-view.ts";
import type { Example } from "../../src/data/rows/examples.ts";
import { encodeRows } from "../../src/data/tokenize/encode-rows.ts";
import { createTokenizer } from "../../src/io/tokenizer/tokenizer.ts";
import { LLAMA_CONFIG, LLAMA_JSON } from "../io/tokenizer/tiny-tokenizer.ts";
import { hasBrowser, look, openBrowser, unbalanced } from "../support/page.ts";

const tokenizer = createTokenizer(LLAMA_JSON, LLAMA_CONFIG);

function pageOf(rows: readonly Example[], subject = { model: "m", data: "d" }): string {
  const inspector = new DataInspector({ tokenizer, maxLength: 12 });
  const view = rowViewer(tokenizer);
  const shown = [...encodeRows("test", rows, tokenizer, { maxLength: 12 })].map((row) =>
    view(row, `${subject.data}:${row.place + 1}`, inspector.add(row)),
  );
  return inspectPage(
    subject,
    inspector.report((place) => `${subject.data}:${place + 1}`),
    shown,
  );
}

const ROWS: Example[] = [
  { prompt: "ab", completion: " c" },
  { text: "<s>a\nb" },
  { text: "" },
  { text: "a b c d e f g h i j" },
  { prompt: "c ", completion: "ab" },
];

test("a page says what the report says, and shows each token with its part", () => {
  const page = pageOf(ROWS);
  expect(unbalanced(page)).toEqual([]);
  expect(page).toContain("<dt>rows trained</dt><dd><b>4</b><span>of 5</span>");
  expect(page).toContain('<li class="error"><p><b>error</b> 1 of 5 rows begin with BOS twice');
  expect(page).toContain('<span class="masked special" title="id 1, masked">&lt;s&gt;</span><wbr>');
  expect(page).toContain('<span class="trained" title="id 13, trained">↵</span><br>');
  expect(page).toMatch(/<span class="cut" title="id 26\d, cut">/);
  expect(page.match(/<rect /g)?.length).toBeGreaterThan(3);
  expect(page.match(/<article>/g)).toHaveLength(5);
});

test("nothing is loaded, and nothing of the data is markup", () => {
  const evil = `<script src="https://x.example">"'&</script><img onerror=a>`;
  const page = pageOf([{ text: evil }, { text: evil }], { model: evil, data: evil });
  expect(unbalanced(page)).toEqual([]);
  expect(page).not.toMatch(
    /<(?:script|img|link|iframe|object|a|base|form)\b|\b(?:src|href|on\w+)=["']|url\(|@import/i,
  );
  expect(page).toContain("default-src 'none'");
});

test("rows without any length, and without findings", () => {
  expect(unbalanced(pageOf([{ text: "" }]))).toEqual([]);
  expect(pageOf([{ text: "ab" }])).toContain("Nothing is odd.");
});

test.runIf(hasBrowser)(
  "in a browser it asks the network for nothing, fits on a phone, and is dark where the reader's system is",
  async () => {
    const browser = await openBrowser();
    try {
      const long = { text: "ab".repeat(400) };
      const html = pageOf([...ROWS, long], { model: "m".repeat(200), data: `d/${"e".repeat(200)}` });
      const light = await look(browser, html, { width: 390, height: 844, colour: "light" });
      const dark = await look(browser, html, { width: 1100, height: 900, colour: "dark" });
      expect(light).toMatchObject({ fits: true, requests: [], said: [], background: "rgb(251, 251, 250)" });
      expect(dark).toMatchObject({ fits: true, requests: [], said: [], background: "rgb(20, 21, 23)" });
    } finally {
      await browser.close();
    }
  },
  60_000,
);
