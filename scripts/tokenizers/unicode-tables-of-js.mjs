// Writes what this JavaScript engine knows of each code point, for unicode_tables.py:
//   node scripts/tokenizers/unicode-tables-of-js.mjs > js.json

const assigned = [];
const decompositions = {};
for (let codePoint = 0; codePoint <= 0x10ffff; codePoint++) {
  if (codePoint >= 0xd800 && codePoint <= 0xdfff) continue;
  const character = String.fromCodePoint(codePoint);
  if (/\P{Cn}/u.test(character)) assigned.push(codePoint);
  const canonical = character.normalize("NFD");
  const compatible = character.normalize("NFKD");
  const moves = (text) => text.normalize("NFD") !== text;
  const reorders = canonical === character && (moves(`a${character}\u0334`) || moves(`a\u0345${character}`));
  if (canonical !== character || compatible !== character || reorders) {
    decompositions[codePoint] = [canonical, compatible, reorders];
  }
}
process.stdout.write(JSON.stringify({ assigned, decompositions }));
