/** The style of the page that `inspect --html` writes. */
export const PAGE_STYLE = `
:root {
  color-scheme: light dark;
  --page: light-dark(#fbfbfa, #141517);
  --card: light-dark(#fff, #1d1f22);
  --line: light-dark(#dcdcd8, #34373c);
  --text: light-dark(#1c1d1f, #e6e6e3);
  --quiet: light-dark(#62656a, #a0a4aa);
  --trained: light-dark(#d3efd8, #17432a);
  --trained-text: light-dark(#0b4a20, #b4f0c6);
  --masked: light-dark(#efefec, #292b2f);
  --masked-text: light-dark(#55585d, #a9adb3);
  --cut: light-dark(#fbe0dc, #4a201c);
  --cut-text: light-dark(#8c2015, #f6b9b1);
  --error: light-dark(#b3261e, #ff8a80);
  --warning: light-dark(#8a5a00, #f2c260);
  --bar: light-dark(#3a6ea5, #7fb2e5);
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 60rem; padding: 1.5rem 1rem 4rem;
  background: var(--page); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif;
}
h1 { margin: 0; font-size: 1.4rem; overflow-wrap: anywhere; }
h2 { margin: 2rem 0 .6rem; font-size: 1.1rem; }
h3 { margin: 0; font-size: .95rem; font-weight: 600; overflow-wrap: anywhere; }
header p, .fate, .help, .where, .axis, figcaption { margin: 0; color: var(--quiet); font-size: .9rem; }
header p { overflow-wrap: anywhere; }
code, .tokens { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.figures { display: grid; grid-template-columns: repeat(2, 1fr); gap: .6rem; margin: 1.2rem 0 0; }
@media (min-width: 34rem) { .figures { grid-template-columns: repeat(3, 1fr); } }
@media (min-width: 56rem) { .figures { grid-template-columns: repeat(6, 1fr); } }
.figures div, article, .findings li, figure { background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
.figures div { padding: .6rem .8rem; }
dt { color: var(--quiet); font-size: .85rem; }
dd { margin: 0; overflow-wrap: anywhere; }
dd b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
dd span { color: var(--quiet); font-size: .85rem; }
.findings { list-style: none; margin: 0; padding: 0; display: grid; gap: .6rem; }
.findings li { padding: .6rem .8rem; border-left: 4px solid var(--warning); }
.findings li.error { border-left-color: var(--error); }
.findings p { margin: 0; overflow-wrap: anywhere; }
.findings b { color: var(--warning); text-transform: uppercase; font-size: .75rem; letter-spacing: .05em; margin-right: .3rem; }
.findings .error b { color: var(--error); }
.where code { margin-right: .5rem; }
figure { margin: 0; padding: .8rem; }
svg { display: block; width: 100%; height: 9rem; border-bottom: 1px solid var(--line); }
rect { fill: var(--bar); }
figcaption { display: flex; justify-content: space-between; padding-top: .3rem; font-variant-numeric: tabular-nums; }
.legend { display: flex; flex-wrap: wrap; gap: .5rem; margin: 0 0 .8rem; font-size: .9rem; }
.legend span { padding: .05rem .5rem; }
article { padding: .7rem .8rem; margin-bottom: .7rem; }
article i { font-style: normal; font-weight: 400; font-size: .8rem; color: var(--warning); border: 1px solid; border-radius: 99px; padding: 0 .5rem; white-space: nowrap; }
.tokens { margin: .5rem 0 0; font-size: .875rem; line-height: 1.9; overflow-wrap: anywhere; }
.tokens span { padding: .1rem .15rem; margin-right: 2px; -webkit-box-decoration-break: clone; box-decoration-break: clone; }
.trained, .masked, .cut { border-radius: 3px; }
.trained { background: var(--trained); color: var(--trained-text); }
.masked { background: var(--masked); color: var(--masked-text); }
.cut { background: var(--cut); color: var(--cut-text); text-decoration: line-through; }
.special { font-weight: 700; }
.read { background: var(--masked); border-radius: 3px; }
.tokens sub { margin-left: .2rem; color: var(--warning); font-size: .7rem; }
.part { margin-right: .5rem; color: var(--quiet); font-size: .8rem; }
.classes { list-style: none; margin: 0; padding: .8rem; background: var(--card); border: 1px solid var(--line); border-radius: 8px; display: grid; gap: .2rem; font-variant-numeric: tabular-nums; }
.classes li { display: grid; grid-template-columns: minmax(4rem, 30%) 1fr 4rem; gap: .6rem; align-items: center; overflow-wrap: anywhere; }
.bar { height: .7rem; border-radius: 3px; background: linear-gradient(var(--bar), var(--bar)) no-repeat 0 / max(2px, var(--share)) 100% var(--masked); }
`;
