import type { Module } from "../nn/module.ts";
import type { HostTensor } from "../util/host-tensor.ts";
import type { JsonObject } from "../util/json.ts";
import type { Adapter } from "./adapter.ts";
import type { Fields, Obstacle, PeftConfig } from "./config-fields.ts";
import type { LayerInputs } from "./lora/initial/eva.ts";
import type { Adaptable, Method, OriginalWeight } from "./method.ts";
import type { MethodOptions } from "./method-options.ts";

/** A tensor of a file, before its values are read. */
export interface StoredInfo {
  /** As in the file. */
  readonly name: string;
  /** As safetensors calls it, such as `F32`. */
  readonly dtype: string;
  readonly shape: readonly number[];
}

/** The tensors of a file, sorted out: `T` is what is known of each. */
export interface SortedTensors<T> {
  /** Those of the sites: by module path, by the method's names. */
  readonly tensors: ReadonlyMap<string, Readonly<Record<string, T>>>;
  /** Those beside the sites, by the method's names. */
  readonly shared: Readonly<Record<string, T>>;
  /** Tensors of the model itself that were trained, by their names in it, such as `classifier.weight`. */
  readonly saved: ReadonlyMap<string, T>;
  /** Weights of the base model that PEFT keeps beside an adapted embedding or output layer, by their names in it. */
  readonly base: ReadonlyMap<string, T>;
}

/** An adapter as it lies in PEFT's files. */
export interface StoredAdapter<C extends PeftConfig = PeftConfig> extends SortedTensors<HostTensor> {
  readonly config: C;
  /** What deserves attention but is no error, one line each. */
  readonly warnings: readonly string[];
}

/** A kind of tensor that cannot be read. */
export interface TensorKind {
  /** Completes "adapter_model.safetensors: ". */
  readonly what: string;
  readonly remedy: string;
}

/** Notes that something is wrong with these: one fault in a thousand tensors is one line. */
export type Note = (what: string, ...names: readonly string[]) => void;

/** What is known of a method's tensors in a file. */
export interface TensorNames<C> {
  /**
   * What its tensors at a site are called in the file, behind the module's path: `{ lora_A: "lora_A.weight" }`. Those
   * that are not named are not written.
   */
  readonly tensors: Readonly<Record<string, string>>;
  /** What those beside the sites are called, whole: `{ vera_A: "base_model.vera_A" }`. */
  readonly shared?: Readonly<Record<string, string>>;
  /** What a tensor is that the method knows and cannot read, by its name in the file. */
  foreign?(name: string, config: C | undefined): TensorKind | undefined;
  /** The model's own name of a tensor of it that was trained beside the sites, by its name in the file without prefix. */
  ownTensor?(plain: string, config: C | undefined): string | undefined;
  /** Whether a tensor of the model that was not trained may lie in the file all the same, to take the place of its own. */
  isKept?(plain: string): boolean;
  /** What such a tensor is called in the file, without prefix, by the model's name for it; the same unless given. */
  fileName?(own: string, isSite: (path: string) => boolean): string;
  /**
   * Compares the stored tensors of the sites with each other and with the configuration.
   * @param config undefined where it could not be read
   * @returns warnings
   */
  check(tensors: SortedTensors<StoredInfo>["tensors"], config: C | undefined, note: Note): readonly string[];
}

/** How adapters lie in files that are not PEFT's. */
export interface FileLayout<C extends PeftConfig> {
  /** The file of the tensors. */
  readonly weights: string;
  /** The file of what is trained of the model itself, such as a head, and of its configuration. */
  readonly head: { readonly weights: string; readonly config: string };
  /** The fields of `adapter_config.json` by the codec's names; undefined where it is none of this layout's. */
  fields(json: JsonObject): JsonObject | undefined;
  /** The value of `adapter_config.json`. */
  json(config: C): JsonObject;
  /** The value of the head's configuration. */
  headJson(config: C): JsonObject;
  /** What a tensor of a site is called, by the codec's end of its name. */
  tensorName(path: string, end: string, config: C): string;
}

/** How a method is written into files and read from them: fields and names. */
export interface Codec<M extends Method = Method, C extends PeftConfig = PeftConfig>
  extends Fields<C>,
    TensorNames<C> {
  /** Where the files are not PEFT's. */
  readonly layout?: FileLayout<C>;
  /** Fields that Python holds as floats, those of nested configurations included: 0 is written 0.0. */
  readonly floats: readonly string[];
  /**
   * Why stored tensors can't be those of this module; undefined where they can.
   * @param module undefined where the model has none of that path
   */
  misfit(
    module: Module | undefined,
    tensors: Readonly<Record<string, Pick<HostTensor, "shape">>>,
  ): string | undefined;
  /** More warnings, once the values are there. */
  warnings?(stored: Omit<StoredAdapter<C>, "warnings">): readonly string[];
  /** What else the model can't have: one line each, with the remedy. */
  misfits?(model: Adaptable, stored: StoredAdapter<C>): readonly Obstacle[];
  /** What is written of the sites' tensors, where a reader is to apply others or wants them laid out in another way. */
  stored?(
    tensors: ReadonlyMap<string, Readonly<Record<string, HostTensor>>>,
    adapter: Adapter<M>,
  ): ReadonlyMap<string, Readonly<Record<string, HostTensor>>>;
  /** A site's stored tensors as they lie on the device; as they are unless given. */
  held?(tensors: Readonly<Record<string, HostTensor>>): Readonly<Record<string, HostTensor>>;
  /** The method, with its options, that a stored adapter was made with. */
  read(model: Adaptable, stored: StoredAdapter<C>): M;
  /**
   * The configuration's own fields for an adapter; those that every type has come from the model.
   * @param tensors those of its sites, by module path
   */
  write(adapter: Adapter<M>, tensors: SortedTensors<HostTensor>["tensors"]): Partial<C>;
}

/** What a method is begun with. */
export interface BeginGiven {
  /** Of what is drawn. */
  readonly seed: number;
  /** Gives a layer's weight as it was before it was quantised. */
  readonly original?: OriginalWeight | undefined;
  /** Gives the inputs of layers over what is trained on, where these are texts. */
  readonly inputs?: (() => Promise<LayerInputs>) | undefined;
  /** Told where it takes a while. */
  tell(line: string): void;
}

/** A method as the registry knows it. */
export interface MethodKind<M extends Method = Method, C extends PeftConfig = PeftConfig> {
  /** PEFT's `peft_type`. */
  readonly type: M["type"];
  /** What the command line calls it. */
  readonly name: string;
  readonly codec: Codec<M, C>;
  /** Its options, as commands and configurations name them. */
  readonly options: MethodOptions;
  /** The method with options by the names that they set. @throws LoraError for values that are not wanted */
  make(options: never): M;
  /** It changes weights of linear layers, and LoRA can be made of that. */
  readonly becomesLora?: true;
  /** Computes from a model's weights what the method begins with, where it does. */
  begin?(model: Adaptable, method: M, given: BeginGiven): Promise<M>;
  /** What a stored adapter's method has to compute from the model's weights, where it does. */
  restore?(model: Adaptable, method: M, original: OriginalWeight): Promise<M>;
  /** What about a new adapter deserves attention, such as options that match nothing; one line each. */
  remarks?(adapter: Adapter<M>): readonly string[];
}

/** A method whose own types stay between its parts. */
export type AnyKind = MethodKind<Method, PeftConfig>;

/** A codec is given what it has made itself: adapters of its method, configurations of its fields. */
export function asAny<M extends Method, C extends PeftConfig>(kind: MethodKind<M, C>): AnyKind {
  return kind as unknown as AnyKind;
}
