// The public names that are the same on every platform; index.node.ts and index.web.ts add opening and saving.
export { type AdaLora, type AdaLoraOptions, adalora } from "./adapters/adalora/adalora.ts";
export { type Adapter, type AttachOptions, attach } from "./adapters/adapter.ts";
export { type Beft, type BeftOptions, beft } from "./adapters/beft/beft.ts";
export { type Bottleneck, bottleneck } from "./adapters/bottleneck/bottleneck.ts";
export type { BottleneckOptions, BottleneckShape } from "./adapters/bottleneck/bottleneck-options.ts";
export type { CombinationType } from "./adapters/combine/combine.ts";
export type { MajoritySign } from "./adapters/combine/elementwise.ts";
export { type Ia3, type Ia3Options, ia3 } from "./adapters/ia3/ia3.ts";
export type { ChangeFigures } from "./adapters/inspect/change-figures.ts";
export { type LnTuning, type LnTuningOptions, lnTuning } from "./adapters/ln-tuning/ln-tuning.ts";
export type { LayerInputs } from "./adapters/lora/initial/eva.ts";
export type { StartOptions } from "./adapters/lora/initial/from-weights.ts";
export type { LoraStart } from "./adapters/lora/initial/lora-start.ts";
export { startLora } from "./adapters/lora/initial/start-lora.ts";
export { isLora, type Lora, type LoraOptions, lora } from "./adapters/lora/lora.ts";
export { type Loha, type LohaOptions, loha } from "./adapters/lycoris/loha.ts";
export { type Lokr, type LokrOptions, lokr } from "./adapters/lycoris/lokr.ts";
export type {
  Adaptable,
  AdapterTensors,
  Method,
  Site,
  SiteTensors,
  TensorPlan,
  TensorPlans,
  Together,
  TrainedTensors,
  WrapGiven,
} from "./adapters/method.ts";
export { type Oft, type OftOptions, oft } from "./adapters/oft/oft.ts";
export { type PTuning, type PTuningOptions, pTuning } from "./adapters/prompts/p-tuning.ts";
export {
  type PrefixTuning,
  type PrefixTuningOptions,
  prefixTuning,
} from "./adapters/prompts/prefix-tuning.ts";
export {
  type PromptTuning,
  type PromptTuningOptions,
  promptTuning,
} from "./adapters/prompts/prompt-tuning.ts";
export { matchesTarget, type TargetOptions } from "./adapters/sites/targets.ts";
export { type Vera, type VeraOptions, vera } from "./adapters/vera/vera.ts";
export * as ops from "./autograd/ops.ts";
export { type Accumulate, type Backward, type BackwardOfAll, Tape } from "./autograd/tape.ts";
export type { ChatCompletionExample, ChatContext, ChatExample } from "./data/chat/chat-rows.ts";
export type { ChatTemplate } from "./data/chat/chat-template.ts";
export type { Message, TextPart } from "./data/chat/messages.ts";
export { readChatTemplate } from "./data/chat/read-chat-template.ts";
export { type RenderedChat, type RenderOptions, renderChat } from "./data/chat/render.ts";
export type { ItemSource, SourceItem } from "./data/feed/item-source.ts";
export type { Mixture, StoppingStrategy } from "./data/feed/order.ts";
export { type ByteRange, blobFile, type DataFile } from "./data/files/data-file.ts";
export type { FileRows, ReadOptions } from "./data/files/file-rows.ts";
export type { Spill } from "./data/files/indexed-rows.ts";
export type { DataSets, PlacedRow, RowStream } from "./data/files/row-stream.ts";
export {
  type ReadRowsOptions,
  type RowsAs,
  readRows,
  type StreamRowsOptions,
  streamRows,
} from "./data/files/rows-as.ts";
export { fitImage } from "./data/images/fit-image.ts";
export { type DecodeImage, imagePixels, type RgbImage } from "./data/images/images.ts";
export { resampleImage } from "./data/images/resample.ts";
export {
  type InspectDataOptions,
  type InspectedModel,
  type InspectedRow,
  type InspectedTask,
  inspectData,
  type RowsToInspect,
} from "./data/inspect/inspect-data.ts";
export type { InspectedRows, LookedAt, RowList, Shown } from "./data/inspect/inspect-rows.ts";
export type { AnyReport, Finding, FindingKind } from "./data/inspect/report.ts";
export type { RowView, TokenView } from "./data/inspect/row-view.ts";
export { PACKING_STRATEGIES, type PackingReport, type PackingStrategy } from "./data/packing.ts";
export type { Example } from "./data/rows/examples.ts";
export { readExamples } from "./data/rows/examples.ts";
export type { PairedTexts, TaggedWords, TextWithLabel } from "./data/rows/labelled.ts";
export {
  type ChatPreference,
  isPaired,
  type JudgedExample,
  type PreferenceExample,
  type PreferenceRow,
  readPreferences,
  type TextPreference,
  unpaired,
} from "./data/rows/preferences.ts";
export type { PromptRow } from "./data/rows/prompts.ts";
export type { TokensExample } from "./data/rows/token-rows.ts";
export type { Sequence } from "./data/sequence.ts";
export type { PreferenceTask, TrainingTask } from "./data/task-names.ts";
export type {
  AnswerName,
  EncodedAnswer,
  EncodedPreference,
  PreferenceOptions,
} from "./data/tokenize/encode-preference.ts";
export {
  encodeLabelledTexts,
  encodeTaggedWords,
  type MaskOptions,
  type TextEncoder,
  textEncoder,
  tokenMasker,
} from "./data/tokenize/encode-task.ts";
export type { TokenizeOptions } from "./data/tokenize/tokenize-options.ts";
export {
  type JudgedSequence,
  type PreferencePair,
  type TokenizedPreferences,
  tokenizeJudged,
  tokenizePreferences,
} from "./data/tokenize/tokenize-preferences.ts";
export type { TokenizeReport } from "./data/tokenize/tokenize-report.ts";
export type { Engine, EngineAdapter, EngineChat, EngineModel, EngineRun } from "./engine/engine.ts";
export type { Folder } from "./engine/platform.ts";
export type {
  AdapterFacts,
  AnyRows,
  EngineAdapterOptions,
  EngineAttachOptions,
  EngineConvertOptions,
  EngineDeviceOptions,
  EngineInspectOptions,
  EngineLoadOptions,
  EngineMethod,
  EnginePlanOptions,
  EnginePort,
  EngineReference,
  EngineRows,
  EngineTrainOptions,
  FilesGiven,
  KeptRun,
  LossNews,
  ModelFacts,
  ModelRef,
  ModelSubject,
  RowFilesGiven,
  RunEnd,
} from "./engine/protocol.ts";
export type { ChoiceStore } from "./gpu/choices.ts";
export { Device, type DeviceInfo, type DeviceOptions, type Wait } from "./gpu/device.ts";
export type { Holding, Ledger } from "./gpu/ledger.ts";
export { type DeviceFacts, factsOf, type ShapeDevice, TYPICAL_GPU } from "./gpu/shape-device.ts";
export type { ShapeBytes } from "./gpu/shape-gpu.ts";
export { type DType, fromArray, scoped, Tensor } from "./gpu/tensor.ts";
export type { FileSource, HubRepository } from "./io/files/files.ts";
export { blobFiles, memoryFiles } from "./io/files/files.ts";
export type { GenerationSettings } from "./io/formats/generation-config.ts";
export type { ImageConfig } from "./io/formats/image-config.ts";
export {
  type RunNotes,
  type RunState,
  readRunState,
  runStateFiles,
  type StateTensor,
} from "./io/formats/run-state.ts";
export { eventRecord, type TensorBoardEvent } from "./io/formats/tfevents.ts";
export type { DecodeStream, Tokenizer } from "./io/tokenizer/tokenizer.ts";
export type { DecodeOptions, DecodeStreamOptions, EncodeOptions } from "./io/tokenizer/tokenizer-options.ts";
export type { AttentionVariant } from "./kernels/attention.ts";
export type { AttentionShape, TunedAttention } from "./kernels/attention-tune.ts";
export { castToFloat } from "./kernels/cast.ts";
export type { LossShape } from "./kernels/cross-entropy.ts";
export type { Fastest } from "./kernels/fastest.ts";
export type { Decoding, ScaleFormat, WeightFormat, ZeroFormat } from "./kernels/formats.ts";
export { loadRounding } from "./kernels/late-rounding.ts";
export { type MatmulOptions, matmul } from "./kernels/matmul.ts";
export type { Product, TunedProduct } from "./kernels/matmul-tune.ts";
export { requestDevice } from "./kernels/request-device.ts";
export type { Weight } from "./kernels/weight.ts";
export { adapterFiles, type LoadAdapterOptions, type SaveAdapterOptions } from "./load/adapter.ts";
export type { CardData, CardLoss, CardNotes } from "./load/adapter-card.ts";
export {
  type CombinedAdapter,
  type CombineOptions,
  combineAdapters,
  type WeightedAdapter,
} from "./load/combine/combine-adapters.ts";
export {
  type ConvertedAdapter,
  type ConvertOptions,
  convertAdapter,
} from "./load/convert/convert-adapter.ts";
export {
  type ConvertedStart,
  type ConvertStartOptions,
  convertStart,
} from "./load/convert/convert-start.ts";
export type { AdapterFormat } from "./load/convert/formats.ts";
export {
  type ConvertedToLora,
  type ConvertToLoraOptions,
  convertToLora,
} from "./load/convert/to-lora.ts";
export { type GgufModel, type GgufModelOptions, type GgufType, ggufModel } from "./load/gguf-model.ts";
export { type InspectAdapterOptions, inspectAdapter } from "./load/inspect/inspect-adapter.ts";
export type {
  AdapterFinding,
  AdapterOrigin,
  AdapterReport,
  LayerReport,
  OtherTensor,
} from "./load/inspect/report.ts";
export type { LoadOptions, Reference, SourceOptions } from "./load/loaders.ts";
export { type MergeOptions, mergedFiles } from "./load/merge.ts";
export type {
  HeadChoice,
  LoadedModel,
  Model,
  OpenOptions,
} from "./load/model.ts";
export { isModelFile } from "./load/model-folder.ts";
export type { OffloadedLayers, Offloading } from "./load/offload.ts";
export { originalWeights } from "./load/original-weights.ts";
export type { Quantization, QuantizationFormat } from "./load/quantization.ts";
export { vocabularyOf } from "./load/resized-vocabulary.ts";
export { type Tuned, type TuneOptions, tune } from "./load/tune.ts";
export type { Adaptive } from "./models/adaptable.ts";
export type {
  AnyModel,
  ImageClassifier,
  LanguageModel,
  MaskedLanguageModel,
  ModelOf,
  SentenceEncoder,
  Task,
  TextClassifier,
} from "./models/model.ts";
export { AdapterList, type NamedAdaptation } from "./nn/adapter-list.ts";
export type { KvCache } from "./nn/cache.ts";
export {
  type CachedRow,
  type Document,
  type Geometry,
  type Layout,
  placeTokens,
  wholeRows,
} from "./nn/geometry.ts";
export { isLinear, type Linear } from "./nn/linear.ts";
export type { Mirror, Snapshot } from "./nn/mirror.ts";
export {
  type Adaptation,
  type Context,
  type Forward,
  isLeaf,
  type JointWrap,
  type Leaf,
  type LeafTensors,
  type Module,
  modules,
  type Siblings,
  tensorsOf,
  type Wrap,
} from "./nn/module.ts";
export type { FinishedStep, Parameter, Parameters } from "./nn/parameters.ts";
export type { LayerReplication } from "./nn/replicate.ts";
export type { BestEvaluation, BestPolicy, RunEvaluation } from "./train/best.ts";
export {
  type ClassifierObjective,
  imageClassification,
  type LabelledImage,
  type LabelledText,
  sequenceClassification,
  tokenClassification,
} from "./train/classification.ts";
export { exactMatch } from "./train/completions.ts";
export { type ContrastiveOptions, contrastive, type TextPair } from "./train/contrastive.ts";
export { Conversation, type ConversationOptions } from "./train/conversation.ts";
export { type EntityMetrics, entityMetrics, type TaggedRow } from "./train/entities.ts";
export {
  type Evaluation,
  type EvaluationOptions,
  type MeanLoss,
  type MeanLossOptions,
  meanLoss,
} from "./train/evaluate.ts";
export {
  type ClassifierEvaluation,
  evaluateClassifier,
  evaluateTagger,
  type TaggerEvaluation,
} from "./train/evaluate-classifier.ts";
export { type EvaluateOptions, evaluate } from "./train/evaluate-rows.ts";
export { generateTokens, type TokenOptions } from "./train/generate.ts";
export { type BatchOptions, type BatchPiece, generateBatch } from "./train/generate-batch.ts";
export { type GenerateOptions, type GenerationReport, generate } from "./train/generate-text.ts";
export { languageModelling } from "./train/language-modelling.ts";
export { type LabelledSequence, type LayerInputOptions, layerInputs } from "./train/layer-inputs.ts";
export { type LossMapOptions, lossMap, type RowLosses } from "./train/loss-map.ts";
export type { BeginTraining, Loss, LossPolicy } from "./train/losses.ts";
export { maskedLanguageModelling } from "./train/masked-language-modelling.ts";
export { type ClassificationMetrics, type ClassMetrics, classificationMetrics } from "./train/metrics.ts";
export type { Counted, Measures, Objective, PassContext } from "./train/objective.ts";
export type { OptimizerName } from "./train/optimizers/registry.ts";
export type { Peers, Share, Traffic, WireType } from "./train/peers.ts";
export type { Advice } from "./train/plan/advice.ts";
export { type Measurable, measurable } from "./train/plan/measurable.ts";
export type { MeasuredOptions, MemoryUse } from "./train/plan/measure.ts";
export type { MemoryRow } from "./train/plan/memory-rows.ts";
export type { PlanOptions, TrainingPlan } from "./train/plan/plan-training.ts";
export type { ExampleRows, OpenAdapter, OpenRows } from "./train/plan/scenario.ts";
export type { AnswerBatch } from "./train/preferences/answer-batch.ts";
export { CPO_LOSSES, type CpoLoss, type CpoOptions, cpo } from "./train/preferences/cpo.ts";
export { DPO_LOSSES, type DpoLoss, type DpoOptions, dpo } from "./train/preferences/dpo.ts";
export {
  type JudgedBatch,
  KTO_LOSSES,
  type KtoLoss,
  type KtoOptions,
  kto,
  type ScoredAnswer,
} from "./train/preferences/kto.ts";
export { type OrpoOptions, orpo } from "./train/preferences/orpo.ts";
export type { AnswerLossOptions, PairBatch, ScoredPair } from "./train/preferences/pairs.ts";
export { type ReferencedObjective, withReferenceScores } from "./train/preferences/reference.ts";
export {
  type RewardBatch,
  type RewardOptions,
  type RewardPair,
  rewardModelling,
} from "./train/preferences/reward.ts";
export { Run, type RunPolicy } from "./train/run.ts";
export type { SamplingOptions } from "./train/sample.ts";
export type { ScheduleName, ScheduleShape } from "./train/schedule.ts";
export type { TrainState } from "./train/state.ts";
export type {
  ImageRow,
  ReferenceOptions,
  TaskChoice,
  TaskEvaluation,
  TaskOptions,
  TaskRow,
  TaskRowsReport,
  TrainingTasks,
} from "./train/tasks/tasks.ts";
export {
  type Trainable,
  type TrainingRows,
  type TrainOptions,
  train,
} from "./train/text.ts";
export { lossOfTokens } from "./train/token-losses.ts";
export { type StepMetrics, trainObjective, trainSequences } from "./train/trainer.ts";
export type { TrainerOptions } from "./train/trainer-options.ts";
export {
  entriesUntil,
  entryLine,
  evaluationEntry,
  type LogEntry,
  type LogValue,
  type ReadEntries,
  readEntries,
  stepEntry,
} from "./train/watch/log-entry.ts";
export {
  type EvaluationMetrics,
  observeAll,
  type RunObserver,
  type RunSamples,
  type UpdateNorms,
} from "./train/watch/observer.ts";
export { type RunWarning, SpikeWatch } from "./train/watch/spikes.ts";
export { type Distribution, distributionOf } from "./util/distribution.ts";
export { type FailureKind, LoraError } from "./util/fail.ts";
export type { Random } from "./util/random.ts";
