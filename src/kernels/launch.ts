import type { Device } from "../gpu/device.ts";

/** How a kernel whose invocations stride over all elements is launched. */
export interface ElementLaunch {
  /** Elements that one invocation handles at a time: 4 or 1. */
  readonly width: number;
  /** Number of such vectors. */
  readonly count: number;
  /** The shader's `alias elem`. */
  readonly elem: "vec4f" | "f32";
  readonly grid: readonly [number];
}

/**
 * Launch of a grid-stride loop over `size` f32 elements, in workgroups of 256.
 * @param unit a length that vectors must divide (rows that they must not straddle).
 */
export function perElement(device: Device, size: number, unit = size): ElementLaunch {
  const width = unit % 4 === 0 ? 4 : 1;
  const count = size / width;
  // A CPU rasteriser pays for each workgroup; a GPU wants all its cores full.
  const steps = device.info.software ? 16 : 1;
  const groups = Math.max(1, Math.min(2048, Math.ceil(count / (256 * steps))));
  return { width, count, elem: width === 4 ? "vec4f" : "f32", grid: [groups] };
}

/**
 * Invocations of a workgroup that reduces `length` values: the `const WG` of kernels with common/reduce.wgsl.
 * CPU rasterisers run a workgroup's subgroups one after the other and switch at each barrier: 128 rows of 512 logits
 * take 4.7 ms with 256 invocations and 0.5 ms with 8 on lavapipe, 135 ms and 3 ms on SwiftShader.
 */
export function reductionSize(device: Device, length: number): number {
  if (device.info.software) return length < 8192 ? 8 : 32;
  return length < 1024 ? 64 : 256;
}
