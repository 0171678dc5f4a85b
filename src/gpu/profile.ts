/** The kinds of device that kernels are launched differently on. */
export const PROFILE_NAMES = ["cpu-rasteriser", "gpu"] as const;

/** The name of a {@link Profile}. */
export type ProfileName = (typeof PROFILE_NAMES)[number];

/**
 * What the choice and the launch of a kernel depend on. Kernels ask the profile and never what a device is, so that
 * tests can run a device under any profile: every arm computes real numbers on a software device, and is compiled by a
 * GPU's own driver.
 */
export interface Profile {
  readonly name: ProfileName;
  /**
   * Whether the invocations of a workgroup run side by side, so that sharing work through barriers and workgroup memory
   * pays. A CPU rasteriser computes a workgroup's subgroups one after the other, switches between them at each barrier
   * (128 rows of 512 logits take 4.7 ms with 256 invocations and 0.5 ms with 8 on lavapipe, 135 ms and 3 ms on
   * SwiftShader), and loads what an invocation reads value by value wherever it lies.
   */
  readonly sharesWork: boolean;
  /** Invocations of a workgroup whose elements have nothing to do with each other. */
  readonly workgroupSize: number;
  /** Vectors that such a workgroup takes at least: each workgroup costs something by itself. */
  readonly shortestRun: number;
  /** Workgroups that fill the device; more of them take shorter runs for nothing. */
  readonly workgroups: number;
}

/** By name. */
export const PROFILES: Readonly<Record<ProfileName, Profile>> = {
  "cpu-rasteriser": {
    name: "cpu-rasteriser",
    sharesWork: false,
    workgroupSize: 8,
    shortestRun: 1024,
    workgroups: 64,
  },
  gpu: { name: "gpu", sharesWork: true, workgroupSize: 64, shortestRun: 64, workgroups: 8192 },
};
