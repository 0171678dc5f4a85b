import { norm } from "../../util/linalg/matrix.ts";
import { type LowRank, svdOfSum } from "../combine/low-rank.ts";

/** What the singular values σ of a layer's change ΔW = scale · B A say about it. */
export interface ChangeFigures {
  /** ‖ΔW‖ in Frobenius' norm, √Σ σ². */
  readonly norm: number;
  /** ‖ΔW‖₂, the largest σ. */
  readonly spectralNorm: number;
  /** exp(−Σ p ln p) with p = σ / Σ σ (Roy and Vetterli, EUSIPCO 2007): as many equal σ would be as spread out. */
  readonly effectiveRank: number;
  /** ‖ΔW‖² / ‖ΔW‖₂²: as many σ as large as the largest would give the norm. */
  readonly stableRank: number;
}

/** The figures of a change of finite numbers; all are 0 where it is 0. */
export function changeFigures(change: LowRank): ChangeFigures {
  const { S } = svdOfSum([{ change, weight: 1 }]);
  const [largest = 0] = S;
  if (largest === 0) return { norm: 0, spectralNorm: 0, effectiveRank: 0, stableRank: 0 };
  const sum = S.reduce((total, value) => total + value, 0);
  const entropy = S.reduce(
    (total, value) => (value > 0 ? total - (value / sum) * Math.log(value / sum) : total),
    0,
  );
  const length = norm(S);
  return {
    norm: length,
    spectralNorm: largest,
    effectiveRank: Math.exp(entropy),
    stableRank: (length / largest) ** 2,
  };
}
