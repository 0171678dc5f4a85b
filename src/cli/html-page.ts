import { escapeHtml } from "../util/html.ts";

/** What stands in a page; all but the title is HTML already. */
export interface PageParts {
  readonly title: string;
  readonly style: string;
  readonly header: string;
  readonly main: string;
}

/**
 * One HTML file that loads nothing: no script, no font, no picture. Light or dark as the reader's system, and as narrow as a
 * phone, where its style is.
 */
export function htmlPage({ title, style, header, main }: PageParts): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escapeHtml(title)}</title>
<style>${style}</style>
</head>
<body>
<header>
${header}
</header>
<main>
${main}
</main>
</body>
</html>
`;
}
