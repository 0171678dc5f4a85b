import type { Adapter } from "../adapters/adapter.ts";
import type { Device, DeviceOptions } from "../gpu/device.ts";
import type { Hash } from "../io/files/digest.ts";
import type { FileSource, FolderWriter } from "../io/files/files.ts";
import type { SaveAdapterOptions } from "../load/adapter.ts";
import type { Loaders, Platform } from "../load/loaders.ts";

/** A folder as programs name it. */
export type Folder = string | FileSystemDirectoryHandle;

/** What the engine in a worker needs of its platform. */
export interface EnginePlatform
  extends Pick<Loaders, "loadModel" | "loadTaskModel" | "loadAdapter">,
    Pick<Platform, "resolveFiles"> {
  openDevice(options?: DeviceOptions): Promise<Device>;
  saveAdapter(adapter: Adapter, folder: Folder, options: SaveAdapterOptions): Promise<void>;
  folderFiles(folder: Folder): FileSource;
  folderWriter(folder: string): FolderWriter;
  /** Removes a folder and all that is in it; nothing where there is none. */
  removeFolder(folder: string): Promise<void>;
  /** Keeps other programs and tabs from a folder; returns what ends that, or undefined where another one has it. */
  claimFolder(folder: string): Promise<(() => void) | undefined>;
  readonly hash: Hash;
  /** Most milliseconds that a device which was lost may take until there is one again; 0 unless given. */
  readonly comebackMs?: number;
}
