import { type Adapter, type AttachOptions, attach } from "../adapters/adapter.ts";
import type { AnyKind } from "../adapters/codec.ts";
import type { Method } from "../adapters/method.ts";
import { METHODS } from "../adapters/methods.ts";
import type { Device } from "../gpu/device.ts";
import { blobFiles, type FileContent, type FileSource, memoryFiles } from "../io/files/files.ts";
import { adapterFiles } from "../load/adapter.ts";
import type { HeadChoice, LoadedModel, Model } from "../load/model.ts";
import { originalWeights } from "../load/original-weights.ts";
import { requireTask, type Task } from "../models/model.ts";
import { Conversation, type ConversationOptions } from "../train/conversation.ts";
import { withoutBeginning } from "../train/plan/scenario.ts";
import { fail } from "../util/fail.ts";
import { nearest } from "../util/nearest.ts";
import { shown } from "../util/shown.ts";
import type { EnginePlatform } from "./platform.ts";
import type {
  EngineAdapterOptions,
  EngineDeviceOptions,
  EngineLoadOptions,
  EngineMethod,
  EngineReference,
  ModelRef,
} from "./protocol.ts";

/** How a model of any task is loaded. */
type TaskLoadOptions = EngineLoadOptions & HeadChoice<Task>;

/** A model, and how it is loaded again where the device is lost. */
interface HeldModel {
  readonly is: "model";
  readonly options: TaskLoadOptions;
  live: LoadedModel;
  open(device: Device): Promise<LoadedModel>;
}

/** An adapter, and how it is put on the model again. */
interface HeldAdapter {
  readonly is: "adapter";
  readonly model: number;
  /** What it was made of, for the notes of a run. */
  readonly origin: unknown;
  live: Adapter;
  open(model: LoadedModel): Promise<Adapter>;
  /** Puts one of the same shapes on a model of a device that only counts. */
  outline(model: LoadedModel): Promise<Adapter>;
}

interface HeldChat {
  readonly is: "chat";
  live: Conversation;
  open(messages: Conversation["messages"]): Conversation;
}

type Held = HeldModel | HeldAdapter | HeldChat;

/** What the numbers stand for that a program calls things by: one device, and the models, adapters and chats on it. */
export class Handles {
  readonly #platform: EnginePlatform;
  readonly #held = new Map<number, Held>();
  #device: Promise<Device> | undefined;
  #deviceOptions: EngineDeviceOptions = {};
  #count = 0;

  constructor(platform: EnginePlatform) {
    this.#platform = platform;
  }

  /** @throws LoraError where something is on the device that is open */
  openDevice(options: EngineDeviceOptions): Promise<Device> {
    if (this.#device && this.#held.size > 0)
      fail("openDevice", "there are models on the engine's device", "release them, or create another engine");
    this.#device?.then((device) => device.close()).catch(() => {}); // it did not open
    this.#deviceOptions = options;
    this.#device = this.#platform.openDevice(options);
    this.#device.catch(() => {
      this.#device = undefined; // so that the next call asks again
    });
    return this.#device;
  }

  device(): Promise<Device> {
    return this.#device ?? this.openDevice(this.#deviceOptions);
  }

  async loadModel(reference: EngineReference, options: EngineLoadOptions): Promise<[id: number, Model]> {
    const source = await this.source(reference);
    const open = (device: Device) => this.#platform.loadModel(source, { ...options, device });
    const live = await open(await this.device());
    return [this.#add({ is: "model", options, live, open }), live];
  }

  async loadTaskModel(
    reference: EngineReference,
    options: TaskLoadOptions,
  ): Promise<[id: number, LoadedModel]> {
    const source = await this.source(reference);
    const open = (device: Device) => this.#platform.loadTaskModel(source, { ...options, device });
    const live = await open(await this.device());
    return [this.#add({ is: "model", options, live, open }), live];
  }

  async attach(
    model: number,
    spec: EngineMethod,
    options: AttachOptions,
    tell: (line: string) => void,
  ): Promise<[id: number, Adapter]> {
    const make = () => methodNamed(spec);
    const open = async (base: LoadedModel) => {
      const method = make();
      const { seed = 0 } = options;
      const begun = await kindNamed(spec.method).begin?.(base, method, {
        seed,
        tell,
        original: originalWeights(base),
      });
      return attach(base, begun ?? method, options);
    };
    const live = await open(this.model({ model }));
    const outline = async (base: LoadedModel) => attach(base, withoutBeginning(make()), options);
    return [this.#add({ is: "adapter", model, origin: { ...spec, ...options }, live, open, outline }), live];
  }

  async loadAdapter(
    model: number,
    reference: EngineReference,
    options: EngineAdapterOptions,
  ): Promise<[id: number, Adapter]> {
    const source = await this.source(reference);
    const open = (base: LoadedModel) => this.#platform.loadAdapter(base, source, options);
    const live = await open(this.model({ model }));
    const origin = typeof source === "string" ? source : source.label;
    return [this.#add({ is: "adapter", model, origin, live, open, outline: open }), live];
  }

  openChat(ref: ModelRef, options: ConversationOptions): number {
    const open = (messages: Conversation["messages"]) =>
      new Conversation(this.languageModel(ref), { ...options, messages });
    return this.#add({ is: "chat", live: open(options.messages ?? []), open });
  }

  /** A model, through the adapters that are chosen, or those of its own list. */
  model({ model, adapters }: ModelRef): LoadedModel {
    const { live } = this.#find("model", model);
    return adapters ? live.withAdapters(adapters.map((id) => this.adapter(id).live)) : live;
  }

  /** The same, which has to be one that writes. @throws LoraError where it is none */
  languageModel(ref: ModelRef): Model {
    const model = this.model(ref);
    requireTask(model, "causal-lm");
    return model as Model;
  }

  adapter(id: number): HeldAdapter {
    return this.#find("adapter", id);
  }

  /** How a model was loaded. */
  optionsOf({ model }: ModelRef): TaskLoadOptions {
    return this.#find("model", model).options;
  }

  chat(id: number): Conversation {
    return this.#find("chat", id).live;
  }

  release(id: number): void {
    const thing = this.#held.get(id);
    this.#held.delete(id);
    if (thing?.is === "chat") thing.live.release();
    else thing?.live.release();
    if (thing?.is !== "model") return;
    for (const [other, each] of this.#held)
      if (each.is === "adapter" && each.model === id) this.release(other);
  }

  /**
   * Opens another device with all that was on the one that was lost. What adapters have learnt stays where the host has a
   * copy; the one that is being trained gets its state back from its run.
   */
  async reopen(trained: HeldAdapter): Promise<void> {
    const all = [...this.#held.values()];
    const kept = new Map<HeldAdapter, FileSource>();
    for (const thing of all) {
      if (thing.is !== "adapter" || thing === trained) continue;
      const files = await adapterFiles(thing.live).catch(() => undefined); // it was not trained here
      if (files) kept.set(thing, memoryFiles(thing.live.name, inMemory(files)));
    }
    (await this.#device)?.close();
    this.#device = undefined;
    const device = await this.device();
    for (const thing of all) if (thing.is === "model") thing.live = await thing.open(device);
    for (const thing of all) {
      if (thing.is === "adapter") await this.#reopenAdapter(thing, kept.get(thing));
      if (thing.is === "chat") thing.live = thing.open(thing.live.messages);
    }
  }

  async #reopenAdapter(thing: HeldAdapter, kept: FileSource | undefined): Promise<void> {
    const { name, attached } = thing.live;
    const model = this.model({ model: thing.model });
    thing.live = await (kept ? this.#platform.loadAdapter(model, kept, { name }) : thing.open(model));
    if (!attached) thing.live.enable(false);
  }

  #add(thing: Held): number {
    this.#held.set(++this.#count, thing);
    return this.#count;
  }

  #find<K extends Held["is"]>(is: K, id: number): Extract<Held, { is: K }> {
    const thing = this.#held.get(id);
    if (thing?.is !== is) return fail("engine", `the ${is} was released`, "open it again");
    return thing as Extract<Held, { is: K }>;
  }

  /** What a reference stands for, as the library takes it. */
  async source(reference: EngineReference): Promise<string | FileSource> {
    if (typeof reference === "string") return reference;
    if (!("files" in reference)) return this.#platform.folderFiles(reference);
    return blobFiles(reference.label, reference.files);
  }
}

/** The method that a program names. @throws LoraError where there is none of the name, or its options are wrong */
export function methodNamed({ method, ...options }: EngineMethod): Method {
  return kindNamed(method).make(options as never);
}

function kindNamed(name: string): AnyKind {
  const kind = METHODS.find((kind) => kind.name === name);
  if (kind) return kind;
  const names = METHODS.map(({ name }) => name);
  const close = nearest(name, names);
  return fail(
    "attach",
    `there is no method ${shown(name)}`,
    close ? `did you mean ${close}?` : `there is ${names.join(", ")}`,
  );
}

/** An adapter's files as bytes. */
function inMemory(files: ReadonlyMap<string, FileContent>): Map<string, Uint8Array> {
  const encoder = new TextEncoder();
  const bytes = [...files].flatMap(([name, content]): [string, Uint8Array][] => {
    if (typeof content === "string") return [[name, encoder.encode(content)]];
    return content instanceof Uint8Array ? [[name, content]] : [];
  });
  return new Map(bytes);
}
