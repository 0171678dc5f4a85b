import { PAGE_STYLE } from "../inspect/page-style.ts";

/** The style of the page that `inspect-adapter --html` writes. */
export const ADAPTER_STYLE = `${PAGE_STYLE}
.facts { display: grid; grid-template-columns: minmax(6rem, max-content) 1fr; gap: .3rem 1rem; margin: 1.2rem 0 0; }
.facts dt { font-size: .9rem; }
.message { white-space: pre-line; }
.strips { display: grid; grid-template-columns: 1fr; gap: .6rem; }
.strip { display: grid; grid-template-columns: 1fr auto; gap: .1rem .8rem; align-items: baseline; font-size: .9rem; }
.strip span { color: var(--quiet); font-variant-numeric: tabular-nums; }
.strip svg { grid-column: 1 / -1; height: 1.6rem; border: 1px solid var(--line); border-radius: 4px; }
.table { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .7rem; text-align: right; white-space: nowrap; border-top: 1px solid var(--line); }
tr:first-child th { border-top: 0; color: var(--quiet); font-weight: 400; }
th:first-child, td:first-child { text-align: left; }
details { margin-top: .8rem; }
summary { cursor: pointer; color: var(--quiet); }
`;
