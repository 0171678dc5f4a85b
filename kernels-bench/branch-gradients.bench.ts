import { fromArray, type Tensor } from "../src/gpu/tensor.ts";
import { branchGradients } from "../src/kernels/branch-gradients.ts";
import { branchGradientsReference } from "../test/reference/branch-gradients.ts";
import { sliceColumnsReference } from "../test/reference/columns.ts";
import { type BenchCase, repeatedValues, sized } from "./harness.ts";

const R = 8;

/** The branches of layers of one input, each with `out` outputs: q, k and v, or gate and up. */
function siblings(rows: number, out: number, count: number): BenchCase {
  const flops = 4 * count * rows * out * R;
  return sized("branch-gradients", `T${rows} N${count}×${out} r${R}`, flops, (device) => {
    const cols = count * R;
    const h = repeatedValues(rows * cols, 1);
    const [dy, b] = [repeatedValues(count * rows * out, 2), repeatedValues(count * out * R, 3)];
    const [DY, B] = [fromArray(device, dy, [count * rows, out]), fromArray(device, b, [count * out, R])];
    const [H, dh] = [
      fromArray(device, h, [rows, cols]),
      fromArray(device, new Float32Array(rows * cols), [rows, cols]),
    ];
    const dB = fromArray(device, new Float32Array(count * out * R), [count * out, R]);
    const part = (tensor: Tensor, i: number, length: number) => tensor.slice(i * length, (i + 1) * length);
    const layers = Array.from({ length: count }, (_, i) => ({
      dy: part(DY, i, rows),
      B: part(B, i, out),
      dB: part(dB, i, out),
      first: i * R,
    }));
    return {
      run: () => {
        branchGradients(layers, { h: H, dh, scale: 1 });
        return [dh, dB];
      },
      reference: () => {
        const whole = { dh: new Float64Array(rows * cols), dB: new Float64Array(count * out * R) };
        for (let i = 0; i < count; i++) {
          const operands = {
            dy: dy.subarray(i * rows * out, (i + 1) * rows * out),
            h: sliceColumnsReference(h, cols, [i * R, (i + 1) * R]),
            B: b.subarray(i * out * R, (i + 1) * out * R),
          };
          const one = branchGradientsReference(operands, { rows, out, r: R }, 1);
          one.dh.forEach((value, j) => {
            whole.dh[Math.floor(j / R) * cols + i * R + (j % R)] = value;
          });
          whole.dB.set(one.dB, i * out * R);
        }
        return [whole.dh, whole.dB];
      },
      flops,
      bytes: 4 * (dy.length + b.length + h.length + rows * cols + 2 * b.length),
    };
  });
}

/** SmolLM2-135M's q (or o), its gate and up; Qwen2.5-0.5B's gate and up. */
export const cases: BenchCase[] = [siblings(128, 576, 1), siblings(128, 1536, 2), siblings(512, 4864, 2)];
