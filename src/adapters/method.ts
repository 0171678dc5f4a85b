import type { Device } from "../gpu/device.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { Weight } from "../kernels/weight.ts";
import type { AdapterList } from "../nn/adapter-list.ts";
import type { Linear } from "../nn/linear.ts";
import type { JointWrap, Leaf, LeafTensors, Module, Siblings, Wrap } from "../nn/module.ts";
import type { FinishedStep, Penalty, Parameters as Trained } from "../nn/parameters.ts";
import type { LayerReplication } from "../nn/replicate.ts";
import type { VirtualTokens } from "../nn/virtual.ts";
import type { HostTensor } from "../util/host-tensor.ts";
import type { Random } from "../util/random.ts";

/** The part of a model that adapters need. */
export interface Adaptable {
  /** Where the weights are. */
  readonly device: Device;
  /** The tree of modules; paths are those of the checkpoint. */
  readonly root: Module;
  /** The adapters that its passes go through. */
  readonly adapters: AdapterList;
  /** How its layers were stacked anew (PEFT's `layer_replication`); absent where they are as in its files. */
  readonly layerReplication?: LayerReplication | undefined;
  /** Linear layers that PEFT adapts where a configuration names none. */
  readonly defaultTargets: readonly string[];
  /** Where the model came from, for the saved adapter. */
  readonly name?: string;
  /** The repository of the hub that it came from, its revision, and the commit that this was. */
  readonly hub?:
    | { readonly repo: string; readonly revision: string | undefined; readonly commit?: string | undefined }
    | undefined;
  /** Its sizes. */
  readonly config?: {
    readonly vocabSize?: number;
    readonly hiddenSize: number;
    readonly numLayers: number;
    readonly numHeads?: number;
    readonly numKvHeads?: number;
    readonly headDim?: number;
    readonly embeddingScale?: number;
    readonly scalesInputs?: boolean;
  };
  /** Its vocabulary has other rows than in its files, so that those of an adapter hold the matrices, too. */
  readonly isResized?: boolean;
  /** What turns texts into its ids. */
  readonly tokenizer?:
    | { encode(text: string, options?: { readonly addSpecialTokens?: boolean }): number[] }
    | undefined;
  /** What the model is for, such as `causal-lm`. */
  readonly task?: string;
  /** Name of its class in transformers, such as `LlamaForCausalLM`. */
  readonly architecture?: string;
  /** `model_type` of its config. */
  readonly modelType?: string;
  /** Paths of layers that the class in transformers has and this model does without, such as an unused pooler. */
  readonly absentModules?: readonly string[];
  /** Names of a classifier's classes, in order. */
  readonly labels?: readonly string[];
  /** Names of the modules of a task's head, which are trained whole. */
  readonly headModules?: readonly string[];
  /** Tensors of the head that the checkpoint lacks and that were initialised at random. */
  readonly initialised?: readonly string[];
}

/** Tensors of one site by the method's names, such as `lora_A`. */
export type SiteTensors = LeafTensors;

/** A tensor that a method wants: its size, who changes it, and how it begins. */
export interface TensorPlan {
  /** Of its f32 elements. */
  readonly shape: readonly number[];
  /** False: it stays as it begins, and no optimiser sees it. True unless given. */
  readonly trained?: boolean;
  /**
   * Its first values; zeros unless given. Computed on the host from random numbers that belong to this tensor alone, or
   * on the device, from the layer's weight, say: then the tensor that is given is copied and freed.
   */
  begin?(random: Random): Float32Array | Tensor;
}

/** What a method wants, by its own names. */
export type TensorPlans = Readonly<Record<string, TensorPlan>>;

/** A module that is adapted, and the tensors that adapt it. */
export interface Site<L extends Module = Module> {
  /** The layer, or any other module. */
  readonly module: L;
  /** Trained and frozen ones by name, such as `lora_A`. */
  readonly tensors: SiteTensors;
}

/** Tensors of the model itself that are trained: copies take their place. */
export interface TrainedTensors {
  /** Whose they are. */
  readonly module: Leaf;
  /** Names of those that are copied, such as `weight`. */
  readonly names: readonly string[];
  /** Of some of these names, the module whose trained tensor of that name it computes with in place of one of its own. */
  readonly shares?: Readonly<Record<string, Leaf>>;
  /** False: they take the place of the model's own as they were read, and no optimiser sees them. True unless given. */
  readonly trained?: boolean;
}

/** Gives a layer's weight `[out, in]` as it was before it was quantised. */
export type OriginalWeight = (layer: Linear) => Promise<Float32Array>;

/** Frozen tensors that take the place of the model's own. */
export interface BaseTensors {
  readonly tensors: ReadonlyMap<Leaf, Readonly<Record<string, Weight>>>;
  /** Notes that an adapter computes with them. */
  use(): void;
  /** Notes that it no longer does. */
  release(): void;
}

/** What a method's function at a site is made with. */
export interface WrapGiven {
  /** Number of the site among all: makes its random choices differ from the other sites'. */
  readonly index: number;
  /** The tensors beside the sites. */
  readonly shared: SiteTensors;
  /** The tensors of another site. */
  at(module: Module): SiteTensors;
  /** What the update is multiplied with; 1 unless the adapter is scaled, which only methods with `scales` are. */
  readonly factor: number;
  /** Of a method with an `invocation`, the tokens of the pass that it acts on, u32 `[n]`, if there are any; absent outside of one. */
  readonly acting?: { readonly tokens: Tensor | undefined };
}

/** One way of adapting a model, all that is its own in one place: LoRA, and whatever comes next. */
export interface Method {
  /** PEFT's `peft_type`. */
  readonly type: string;
  /** Why its tensors must not be trained, and what to do about it; absent where they may. */
  readonly locked?: Trained["locked"];
  /** Its file says how the model's layers are stacked anew; of a method without, nobody would know. */
  readonly notesReplication?: boolean;
  /** The modules of this model that the method adapts, of any kind. @throws LoraError where a target matches nothing. */
  sites(model: Adaptable): readonly Module[];
  /** The tensors that the method has at a site, in their order in the buffer of all. */
  tensors(site: Module): TensorPlans;
  /** The tensors that it has beside the sites, for all of them. */
  shared?(model: Adaptable): TensorPlans;
  /** Tensors of the model that are trained with it: PEFT's `modules_to_save`, biases. */
  saved?(model: Adaptable): readonly TrainedTensors[];
  /** Tensors that its passes compute with in place of the model's own, and that stay: a base rounded in another way. */
  readonly bases?: BaseTensors;
  /** The middleware that runs at the site; absent where `copies` are all that the method does. */
  wrap?(site: Site, given: WrapGiven): Wrap;
  /** Tensors of the site that its module computes with in place of its own, by the module's names. */
  copies?(site: Site): LeafTensors;
  /** Ids of the tokens from whose last occurrence in a document on it acts, and not before; on all tokens unless given. */
  invocation?(model: Adaptable): readonly number[] | undefined;
  /** The tokens that it puts before every document. */
  virtual?(shared: SiteTensors): VirtualTokens;
  /** What its file has that is computed from the tensors beside the sites, by names of its codec: on the host, where these outlive the device. */
  computed?(shared: Readonly<Record<string, HostTensor>>): Readonly<Record<string, HostTensor>>;
  /** The method's update can be made stronger and weaker by a factor. */
  readonly scales?: boolean;
  /** How sites that compute from the same input are computed together, where the method can do that. */
  readonly together?: Together;
  /**
   * What computes each tensor of the site that has the adapter in it, by name, where the method allows it: the site
   * with these tensors does what the adapted site does outside training.
   * @param copies what the module computes with in place of its own tensors, trained or of `bases`
   */
  merge?(
    site: Site,
    shared: SiteTensors,
    copies: Readonly<Record<string, Weight>>,
  ): Readonly<Record<string, () => Tensor>>;
  /** Why these sites, all of an adapter's, can't be merged; one line each. */
  mergeProblems?(sites: readonly Site[]): readonly string[];
  /** A term of the loss that depends on its tensors alone; see {@link Penalty}. */
  penalty?(parts: AdapterTensors, ...given: Parameters<Penalty>): ReturnType<Penalty>;
  /**
   * Recorded right behind the update of every optimiser step, on the device: pruning, projections. What it keeps from step to
   * step is in tensors that are not trained, which checkpoints have then. A step may be skipped, and recorded again: then
   * `outcome` says so on the device, and nothing may change.
   */
  afterStep?(parts: AdapterTensors, step: FinishedStep): void;
}

/** All tensors of an adapter. */
export interface AdapterTensors {
  /** The adapted modules, in the order of the model. */
  readonly sites: readonly Site[];
  /** The tensors beside the sites. */
  readonly shared: SiteTensors;
}

/** How a method computes several sites of one input at once. */
export interface Together {
  /** The tensor, by its name, that the sites have the rows of in one matrix, one site after another. */
  readonly stacked: string;
  /** Whether it can compute these, which are all the sites among some siblings. */
  accepts(sites: readonly Module[]): boolean;
  /** Computes siblings, among which are these sites, with the stacked tensor of all. */
  wrap(siblings: Siblings, sites: readonly Site[], stack: Tensor, factor: number): JointWrap;
}
