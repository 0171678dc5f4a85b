/** What keeps the page from working, and what the user can do, in order. */
export interface Advice {
  readonly title: string;
  readonly steps: readonly string[];
}

/** What is known of a browser. */
export interface Browser {
  readonly userAgent: string;
  /** Whether the page came over https or from this computer: WebGPU is there on no other. */
  readonly isSecure: boolean;
}

const ELSEWHERE = "Or open this page in a recent Chrome or Edge.";

/** What to do about a missing WebGPU in this browser. */
export function adviceFor({ userAgent, isSecure }: Browser): Advice {
  if (!isSecure)
    return {
      title: "This page needs a secure address",
      steps: ["Open it over https, or from this computer as http://localhost."],
    };
  return { title: "This browser offers no WebGPU", steps: stepsFor(userAgent) };
}

function stepsFor(userAgent: string): string[] {
  const isLinux = /Linux|X11/.test(userAgent) && !/Android/.test(userAgent);
  if (/Firefox\//.test(userAgent))
    return [
      "Update Firefox: it has WebGPU from version 141 on Windows and from 147 on Macs with an M chip (145 on macOS 26).",
      "Elsewhere take Firefox Nightly, or open about:config, set dom.webgpu.enabled to true, and restart Firefox.",
      ELSEWHERE,
    ];
  if (/Chrom(e|ium)\//.test(userAgent)) {
    const name = /Edg\//.test(userAgent) ? "edge" : "chrome";
    return [
      `Open ${name}://settings/system and turn on graphics acceleration.`,
      ...(isLinux
        ? [
            "On Linux update it: WebGPU is there from version 144 with Intel's graphics of the 12th generation, and from 147 with NVIDIA's driver 535.",
            `With another graphics chip open ${name}://flags and enable “Unsafe WebGPU Support” and “Vulkan”.`,
          ]
        : []),
      `Restart the browser. ${name}://gpu says whether WebGPU is there; version 113 or newer is needed.`,
    ];
  }
  if (/Safari\//.test(userAgent))
    return [
      "Update to macOS 26, iOS 26 or iPadOS 26: their Safari has WebGPU.",
      "In an older Safari, look for WebGPU among the feature flags of its developer settings.",
      ELSEWHERE,
    ];
  return ["Open this page in a recent Chrome, Edge, Safari or Firefox."];
}
