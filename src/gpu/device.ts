import { LoraError } from "../util/fail.ts";
import { callback, checkOptions, flag, objectOf, oneOf, type Rule, type Rules } from "../util/options.ts";
import { type ChoiceStore, Choices } from "./choices.ts";
import { Kernels, type Launch } from "./kernel.ts";
import type { Proof } from "./matrix-proof.ts";
import { Memory } from "./memory.ts";
import { PROFILE_NAMES, PROFILES, type Profile, type ProfileName } from "./profile.ts";
import { Stream } from "./stream.ts";
import {
  loadMatrixKernels,
  type MatrixUnits,
  matrixUnitsOf,
  SUBGROUP_MATRIX,
  SUBGROUP_SIZE_CONTROL,
} from "./subgroup-matrix.ts";
import { Textures } from "./texels.ts";
import type { WgslModule } from "./wgsl.ts";

/** What is known of the adapter behind a {@link Device}. */
export interface DeviceInfo {
  /** e.g. `llvmpipe (LLVM 15.0.6, 256 bits)`. */
  readonly name: string;
  /** As the adapter reports it, such as `nvidia`; may be empty. */
  readonly vendor: string;
  /** Family of devices, such as `ampere`; may be empty. */
  readonly architecture: string;
  /** What of all this stays where the driver is renewed; the name unless given. */
  readonly hardware?: string;
  /** True for a rasteriser on the CPU (lavapipe, SwiftShader, WARP): announced, never passed off as a GPU. */
  readonly software: boolean;
  /** Lanes of a subgroup, or 0 where subgroups are absent or their size varies. */
  readonly subgroupSize: number;
  /** Shaders may compute in f16 (`shader-f16`). */
  readonly f16: boolean;
  /** Products run on these matrix units, with operands rounded to f16: asked for, there, and a trial gave the right product. */
  readonly matrixUnits?: MatrixUnits;
  /** Why matrix units that were asked for and offered are not used. */
  readonly matrixFailure?: string;
  /** Shaders may read storage textures (`readonly_and_readwrite_storage_textures`). */
  readonly readsTexels?: boolean;
  /** Passes can be timed on the device (`timestamp-query`). */
  readonly timestamps: boolean;
}

/** A WebGPU device with the engine's memory pool, command stream and pipeline cache. */
export class Device {
  /** The WebGPU device itself. */
  readonly gpu: GPUDevice;
  /** What is known of its adapter. */
  readonly info: DeviceInfo;
  /** What kernels go by. */
  readonly profile: Profile;
  /** The buffer pool: `memory.stats` counts bytes. */
  readonly memory: Memory;
  /** Commands that are recorded and not yet submitted. */
  readonly stream: Stream;
  /** Compiled pipelines. */
  readonly kernels: Kernels;
  /** Copies of weights in textures, where reading these is faster. */
  readonly textures: Textures;
  /** Variants of kernels that were measured to be the fastest here. */
  readonly choices: Choices;
  readonly #wait: Wait | undefined;
  #failure: LoraError | undefined;
  /** Errors of which it is not yet known what they come from. */
  readonly #suspicions = new Set<Promise<void>>();
  #closing = false;

  constructor(gpu: GPUDevice, info: DeviceInfo, options: DeviceOptions = {}) {
    const { choices, wait, profile } = options;
    this.#wait = wait;
    this.gpu = gpu;
    this.info = info;
    const own = info.software ? "cpu-rasteriser" : "gpu";
    this.profile = PROFILES[profile ?? own];
    this.memory = new Memory(gpu);
    this.stream = new Stream(gpu);
    this.kernels = new Kernels(gpu, this.stream);
    this.textures = new Textures(gpu, this, {
      onRelease: (ids) => this.kernels.forgetBindings(ids),
      onGiveUp: ({ message }) => warnOf(options)(withoutTextures(info, message)),
    });
    // What was measured with other kernels around it means nothing here.
    const as = this.profile.name === own ? "" : ` as ${this.profile.name}`;
    const { name, hardware = name } = info;
    this.choices = new Choices({ hardware: hardware + as, device: name + as }, choices);
    this.memory.onTrim = (allocations) => {
      // Commands that use them must be on their way.
      if (allocations.some(({ lastUse }) => lastUse === this.stream.submits)) this.stream.flush();
      this.kernels.forgetBindings(new Set(allocations.map(({ id }) => id)));
    };
    gpu.addEventListener("uncapturederror", (event) =>
      this.#onError((event as GPUUncapturedErrorEvent).error),
    );
    gpu.lost.then((info) => this.#onLost(info));
  }

  /** The device's own limits, in bytes where they are sizes. */
  get limits(): GPUSupportedLimits {
    return this.gpu.limits;
  }

  /** Most bytes of one storage binding: what is larger is used in windows. */
  get bindingLimit(): number {
    return this.kernels.bindingLimit;
  }

  /** Records one dispatch; see {@link Kernels.run}. */
  run(module: WgslModule, entry: string, launch: Launch): void {
    this.requireWorking();
    this.kernels.run(module, entry, launch);
  }

  /** @throws LoraError where it is known by now that the device failed for good, or was closed */
  requireWorking(): void {
    if (this.#failure) throw this.#failure;
  }

  /** Submits everything recorded and waits for it. @throws LoraError if an allocation, a dispatch or the device failed. */
  async sync(): Promise<void> {
    await this.waitFor(this.stream.finish()).catch(() => {}); // a lost device rejects; the reason is thrown below
    await this.check();
  }

  /** Waits for something that the device does, in the platform's way. */
  waitFor<T>(pending: Promise<T>): Promise<T> {
    return this.#wait ? this.#wait(pending, this.info.software) : pending;
  }

  /**
   * Waits until it is known whether anything failed. A lost device fails for good; after an error of memory, which everybody
   * who waits is told, the device goes on once the failed operation's tensors are released.
   * @throws LoraError of kind `out-of-memory`, `device-lost` or `unsupported` if anything failed so far.
   */
  async check(): Promise<void> {
    await this.memory.check();
    await Promise.all(this.#suspicions);
    if (this.#failure) throw this.#failure;
  }

  /**
   * Says why a result could not be read. Where the device is lost, reads may fail a little before the loss is told.
   * @throws LoraError as {@link check} does, else the error itself
   */
  async explain(error: unknown): Promise<never> {
    await this.check();
    await Promise.race([this.gpu.lost, new Promise((resolve) => setTimeout(resolve, LOSS_TOLD_MS))]);
    await this.check();
    throw error;
  }

  /** Destroys the device; pending reads fail. */
  close(): void {
    this.#closing = true;
    const help = "read or save what is needed before device.close()";
    this.#failure ??= new LoraError("input", this.info.name, "the device was closed", help);
    this.gpu.destroy();
  }

  #onError(error: GPUError): void {
    if (error.constructor.name === "GPUOutOfMemoryError") {
      this.memory.reportError(error.message);
      return;
    }
    // Commands on a buffer that could not be had are errors, too: consequences of an error that is told already.
    const judged = this.memory.isShort().then((isShort) => {
      this.#suspicions.delete(judged);
      if (!isShort) this.#failure ??= new LoraError("unsupported", this.info.name, error.message);
    });
    this.#suspicions.add(judged);
  }

  #onLost({ reason, message }: GPUDeviceLostInfo): void {
    if (this.#closing) return;
    this.#failure = new LoraError(
      "device-lost",
      this.info.name,
      `the device was lost (${reason || "unknown reason"}): ${message}`,
      "open it again and resume from the last saved adapter; if it recurs, use a smaller batch",
    );
  }
}

/** How long a browser may take to tell of a loss, ms. */
const LOSS_TOLD_MS = 2000;

/** Limits that more of helps; each is requested as high as the adapter goes. */
const WANTED_LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxComputeWorkgroupStorageSize",
] as const;
const WANTED_FEATURES = ["subgroups", "shader-f16", "timestamp-query"] as const;

/** Waits for what a device does, on the CPU or elsewhere; the same as `await` unless the platform needs more than that. */
export type Wait = <T>(pending: Promise<T>, onCpu: boolean) => Promise<T>;

/** How a device is asked for. */
export interface DeviceOptions {
  /** Which GPU of several; `high-performance` unless given. */
  powerPreference?: GPUPowerPreference;
  /** Behave like a device with WebGPU's default limits and no optional feature: the portable floor. */
  floor?: boolean;
  /** Where measured choices are kept; the floor has none. */
  choices?: ChoiceStore;
  /**
   * Lets products and attention round their operands to f16 and use matrix units where the adapter has them; sums stay f32. Values
   * beyond 65 504 overflow. Off unless given: results then agree with PyTorch's f32. Units that fail at a small product
   * are left alone, which {@link onWarning} and `info.matrixFailure` tell.
   */
  halfPrecision?: boolean;
  /** Takes matrix units without the trial: on a card's driver without the card, where nothing computes. */
  untriedMatrices?: boolean;
  /** What is not as asked for; `console.warn` unless given. */
  onWarning?: (warning: string) => void;
  /** Launches kernels as on another kind of device: to test or compile what a GPU runs where there is none. */
  profile?: ProfileName;
  /** How to wait for the device; Node's sleeps, so that waiting takes no core from a software device. */
  wait?: Wait;
}

/** What the options have to be. */
export const DEVICE_RULES: Rules<DeviceOptions> = {
  powerPreference: oneOf(["low-power", "high-performance"]),
  floor: flag(),
  choices: objectOf("a store with load and save", (store) => "load" in store && "save" in store),
  halfPrecision: flag("half", "fp16"),
  untriedMatrices: flag(),
  onWarning: callback(),
  wait: callback(),
  profile: oneOf(PROFILE_NAMES),
};

/** A device, where a function is given one. */
export const DEVICE: Rule = objectOf("a device, as openDevice gives it", (device) => "gpu" in device);

/**
 * Opens the device of a WebGPU implementation with the highest limits that its adapter offers, without the shaders that few devices
 * need: what kernels run on comes from `kernels/request-device.ts`.
 * @returns undefined where there is no adapter.
 */
export async function requestBareDevice(gpu: GPU, options: DeviceOptions = {}): Promise<Device | undefined> {
  checkOptions("requestDevice", options, DEVICE_RULES);
  return open(gpu, options);
}

/** @param given why matrix units are not asked for, where a trial has shown it */
async function open(gpu: GPU, options: DeviceOptions, given?: string): Promise<Device | undefined> {
  const { powerPreference = "high-performance", floor = false, choices, ...others } = options;
  const adapter = await gpu.requestAdapter({ powerPreference });
  if (!adapter) return undefined;
  const candidates = options.halfPrecision && !floor ? matrixUnitsOf(adapter) : [];
  const wanted = floor ? [] : [...WANTED_FEATURES, ...(candidates.length > 0 ? MATRIX_FEATURES : [])];
  const features = wanted.filter((feature) => adapter.features.has(feature));
  const limits = Object.fromEntries(WANTED_LIMITS.map((name) => [name, adapter.limits[name]]));
  const device = await adapter.requestDevice({
    requiredFeatures: features,
    requiredLimits: floor ? {} : limits,
  });
  const matrices = candidates.length > 0 ? await tryMatrices(device, candidates, options) : {};
  const { units: matrixUnits, failure: matrixFailure = given } = matrices;
  // The trial may have cost the device.
  if (matrices.isLost) return open(gpu, { ...options, halfPrecision: false }, matrixFailure);
  if (matrixUnits) await loadMatrixKernels();
  const info = {
    ...describeAdapter(adapter.info, new Set<string>(features)),
    ...{ matrixUnits, matrixFailure, readsTexels: !floor && readsStorageTextures(gpu) },
  };
  const opened = new Device(device, info, { ...others, ...(!floor && { choices }) });
  const unused = await opened.choices.load();
  if (unused) warnOf(options)(unused);
  return opened;
}

const MATRIX_FEATURES = [SUBGROUP_MATRIX, SUBGROUP_SIZE_CONTROL] as const;

async function tryMatrices(
  device: GPUDevice,
  candidates: readonly MatrixUnits[],
  options: DeviceOptions,
): Promise<Proof> {
  const { untriedMatrices = false } = options;
  const proof = untriedMatrices
    ? { units: candidates[0] }
    : await (await import("./matrix-proof.ts")).proveMatrixUnits(device, candidates);
  if (proof.failure)
    warnOf(options)(`matrix units are not used: ${proof.failure}; products are computed in f32`);
  return proof;
}

function withoutTextures({ name }: DeviceInfo, message: string): string {
  const [why] = message.split("\n");
  return `${name}: no copies of weights in textures (${why}); few tokens at a time are computed without, more slowly: free memory or use a smaller model`;
}

const warnOf = ({ onWarning = (warning) => console.warn(warning) }: DeviceOptions) => onWarning;

function readsStorageTextures({ wgslLanguageFeatures: known }: GPU): boolean {
  return known?.has("readonly_and_readwrite_storage_textures") ?? false;
}

/** What is known of an adapter from what it says of itself, with these of its features switched on. */
export function describeAdapter(info: GPUAdapterInfo, features: ReadonlySet<string>): DeviceInfo {
  const fixedSize = info.subgroupMinSize === info.subgroupMaxSize ? info.subgroupMinSize : 0;
  const software =
    info.isFallbackAdapter || /llvmpipe|swiftshader|basic render/i.test(`${info.description} ${info.device}`);
  const hardware = [vendorName(info.vendor), info.architecture, info.device].filter(Boolean).join(" ");
  return {
    name: adapterName(info, software),
    vendor: vendorName(info.vendor),
    architecture: info.architecture,
    ...(hardware && { hardware }),
    software,
    subgroupSize: features.has("subgroups") ? fixedSize : 0,
    f16: features.has("shader-f16"),
    timestamps: features.has("timestamp-query"),
  };
}

/** What an adapter's `device` calls the card, without the dashes at its end; undefined where it is a number, or empty. */
export function cardName(device: string): string | undefined {
  const card = device.replace(/-+$/, "");
  return /^(0x)?[\da-f]*$/i.test(card) ? undefined : card;
}

/** Vendors by PCI or Vulkan id, with the names that Dawn gives them. */
const VENDORS: Readonly<Record<number, string>> = {
  4098: "amd",
  4112: "img-tec",
  4203: "apple",
  4318: "nvidia",
  5045: "arm",
  5140: "microsoft",
  5197: "samsung",
  6880: "google",
  20803: "qualcomm",
  32902: "intel",
  65541: "mesa",
};

/** Deno gives a vendor's id, in decimal. */
function vendorName(vendor: string): string {
  return VENDORS[Number(vendor)] ?? vendor;
}

/**
 * Dawn's `description` of a GPU may be its driver's version alone, and the card's name is then in `device`,
 * which elsewhere is a number or empty. Rasterisers name themselves in the description.
 */
function adapterName(
  { vendor, architecture, device, description }: GPUAdapterInfo,
  software: boolean,
): string {
  const card = cardName(device);
  const parts = card === undefined ? [vendorName(vendor), architecture, device] : [card];
  const named = parts.filter(Boolean).join(" ");
  if (!description) return named || "unnamed adapter";
  if (card === undefined) return description;
  const words = card.toLowerCase().split(/[^a-z\d]+/);
  const isTold = words.every((word) => description.toLowerCase().includes(word));
  return software || isTold ? description : `${card} (${description})`;
}
