/** A piece of SentencePiece's and how readily it is made: the highest score first. */
export interface Piece {
  readonly text: string;
  readonly score: number;
}

/**
 * The merges by which BPE makes the same tokens of a text as SentencePiece does by the scores of its pieces: each way to
 * make a piece of two others, the highest score first, as transformers converts them (`generate_merges`).
 */
export function mergesOfScores(pieces: readonly Piece[]): [string, string][] {
  const ids = new Map(pieces.map(({ text }, id) => [text, id]));
  const merges = pieces.flatMap(({ text, score }) =>
    splitsOf(text)
      .flatMap(([left, right]) => {
        const [l, r] = [ids.get(left), ids.get(right)];
        return l === undefined || r === undefined ? [] : [{ left, right, l, r, score }];
      })
      .sort((a, b) => a.l - b.l || a.r - b.r),
  );
  const ordered = merges.sort(
    (a, b) => b.score - a.score || b.left.length - a.left.length || b.right.length - a.right.length,
  );
  return ordered.map(({ left, right }) => [left, right]);
}

/** Both parts at each boundary of characters. */
function splitsOf(text: string): [string, string][] {
  const characters = [...text];
  let at = 0;
  return characters.slice(1).map((_, i) => {
    at += (characters[i] as string).length;
    return [text.slice(0, at), text.slice(at)];
  });
}
