import { release, type } from "node:os";
import type { Device } from "../../gpu/device.ts";
import { shownAddress } from "../../io/files/address.ts";
import { defaultCacheFolder } from "../../platform/node-cache/byte-cache.ts";
import { hfCacheFolder } from "../../platform/node-cache/hf-cache.ts";
import { openNodeDevice } from "../../platform/node-gpu.ts";
import type { Settled } from "../settings.ts";
import type { ENV_OPTIONS } from "../tables/env.ts";
import { printLines, type Terminal } from "../terminal.ts";
import { installedVersion, packageVersion } from "../version.ts";

/** What a bug report needs. */
export interface Environment {
  readonly versions: Readonly<Record<string, string>>;
  readonly adapter: AdapterReport | { readonly error: string };
  /** Where downloads are kept. */
  readonly cacheFolder: string;
  /** Where huggingface_hub keeps its own, which are used too. */
  readonly hfCacheFolder: string;
  /** Variables that change what the program does, where they are set; never a secret. */
  readonly variables: Readonly<Record<string, string>>;
}

interface AdapterReport {
  readonly name: string;
  readonly vendor: string;
  readonly architecture: string;
  readonly software: boolean;
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
}

/**
 * `webgpu-lora env`: which software and hardware this is.
 * @returns the exit code
 */
export async function runEnv({ settings }: Settled<typeof ENV_OPTIONS>, terminal: Terminal): Promise<number> {
  const environment = await readEnvironment();
  if (settings.json) printLines(terminal.print, JSON.stringify(environment, null, 2));
  else for (const line of describeEnvironment(environment)) terminal.print(line);
  return 0;
}

async function readEnvironment(): Promise<Environment> {
  const variables = knownVariables(process.env); // before a software driver is chosen, which sets some
  return {
    versions: {
      "webgpu-lora": packageVersion(),
      "webgpu (Dawn)": installedVersion("webgpu") ?? "not installed",
      node: process.version,
      os: `${type()} ${release()} ${process.arch}`,
    },
    adapter: await readAdapter(),
    cacheFolder: defaultCacheFolder(),
    hfCacheFolder: hfCacheFolder(),
    variables,
  };
}

async function readAdapter(): Promise<Environment["adapter"]> {
  try {
    return adapterReport(await openNodeDevice());
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}

/** Limits that decide which models fit and which kernels run. */
const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupStorageSize",
] as const;

function adapterReport({ info, limits, gpu }: Device): AdapterReport {
  const { name, vendor, architecture, software } = info;
  return {
    name,
    vendor,
    architecture,
    software,
    features: [...gpu.features].sort(),
    limits: Object.fromEntries(LIMITS.map((limit) => [limit, limits[limit]])),
  };
}

const VARIABLES = [
  "WEBGPU_LORA_ADAPTER",
  "WEBGPU_LORA_PROFILE",
  "WEBGPU_LORA_CACHE",
  "XDG_CACHE_HOME",
  "HF_ENDPOINT",
  "HF_HOME",
  "HF_HUB_CACHE",
  "HUGGINGFACE_HUB_CACHE",
  "HF_HUB_OFFLINE",
  "HF_HUB_DOWNLOAD_TIMEOUT",
  "HF_HUB_ETAG_TIMEOUT",
  "TRANSFORMERS_OFFLINE",
  "HF_TOKEN",
  "HUGGING_FACE_HUB_TOKEN",
  "HF_TOKEN_PATH",
  "HF_HUB_DISABLE_IMPLICIT_TOKEN",
  "VK_ICD_FILENAMES",
  "VK_DRIVER_FILES",
  "DEBUG",
];

const SECRET = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"];

/** The variables that are set. Of a token only that it is set; of an address not its user and password. */
export function knownVariables(environment: NodeJS.ProcessEnv): Record<string, string> {
  const shown = (name: string, value: string) => {
    if (name === "HF_ENDPOINT") return shownAddress(value);
    return SECRET.includes(name) ? "(set)" : value;
  };
  const set = VARIABLES.filter((name) => environment[name]);
  return Object.fromEntries(set.map((name) => [name, shown(name, environment[name] as string)]));
}

function describeEnvironment({
  versions,
  adapter,
  cacheFolder,
  hfCacheFolder,
  variables,
}: Environment): string[] {
  const entries = (values: Readonly<Record<string, string | number>>) =>
    Object.entries(values).map(([name, value]) => `  ${name}: ${value}`);
  return [
    ...Object.entries(versions).map(([name, version]) => `${name}: ${version}`),
    ...("error" in adapter ? [`adapter: none (${adapter.error})`] : describeAdapter(adapter)),
    ...("error" in adapter ? [] : ["limits:", ...entries(adapter.limits)]),
    `cache: ${cacheFolder}`,
    `Hugging Face's cache: ${hfCacheFolder}`,
    ...(Object.keys(variables).length > 0 ? ["variables:", ...entries(variables)] : ["variables: none set"]),
  ];
}

function describeAdapter({ name, vendor, architecture, software, features }: AdapterReport): string[] {
  return [
    `adapter: ${name}`,
    `  vendor: ${vendor || "unknown"}${architecture ? `, ${architecture}` : ""}`,
    `  kind: ${software ? "software (no GPU is used)" : "GPU"}`,
    `features: ${features.join(", ") || "none"}`,
  ];
}
