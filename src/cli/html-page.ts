import { createHash } from "node:crypto";
import { escapeHtml } from "../util/html.ts";

/** What stands in a page; all but the title is HTML already. */
export interface PageParts {
  readonly title: string;
  readonly style: string;
  readonly header: string;
  readonly main: string;
  /** A program that runs in it at its end; none by default. */
  readonly script?: string;
  /** Seconds after which a reader loads it again. */
  readonly refresh?: number;
}

/**
 * One HTML file that loads nothing: no font, no picture, and no script but its own, if it has one. Light or dark as the reader's system, and as narrow as a
 * phone, where its style is.
 */
export function htmlPage({ title, style, header, main, script, refresh }: PageParts): string {
  const scripts = script === undefined ? "" : `; script-src 'sha256-${digestOf(script)}'`;
  const again = refresh === undefined ? "" : `\n<meta http-equiv="refresh" content="${refresh}">`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'${scripts}">${again}
<title>${escapeHtml(title)}</title>
<style>${style}</style>
</head>
<body>
<header>
${header}
</header>
<main>
${main}
</main>${script === undefined ? "" : `\n<script>${script}</script>`}
</body>
</html>
`;
}

/** What a page says of its script, so that no other one runs in it. */
function digestOf(script: string): string {
  return createHash("sha256").update(script).digest("base64");
}
