// Which learning rate is good for LoRA. docs/defaults.md has the sources.

/** The usual rate of full fine-tuning on chats: TRL's default. */
const FULL_FINE_TUNING = 2e-5;

/** "LoRA Without Regret" (Schulman and Thinking Machines Lab, 2025): the best rate is about ten times as high, at any rank. */
const LORA_OVER_FULL = 10;

/** The peak rate where none is given. */
export const LORA_LEARNING_RATE = LORA_OVER_FULL * FULL_FINE_TUNING;

/** The same where answers are compared: TRL's rate of full fine-tuning by DPO, KTO, CPO and ORPO. */
export const PREFERENCE_LEARNING_RATE = 1e-5; // ten times 1e-6

/** Rows of a step in the sweep below. */
export const SWEPT_BATCH = 128;

/** The best LoRA rates of Thinking Machines' sweep (`get_lr` of their cookbook): 780 steps of 128 rows of Tülu 3. */
const SWEPT: ReadonlyMap<string, number> = new Map([
  ["meta-llama/Llama-3.2-1B", 1e-3],
  ["meta-llama/Llama-3.2-3B", 1e-3],
  ["meta-llama/Llama-3.1-8B", 3e-4],
  ["meta-llama/Llama-3.1-8B-Instruct", 3e-4],
  ["meta-llama/Llama-3.1-70B", 3e-4],
  ["meta-llama/Llama-3.3-70B-Instruct", 3e-4],
  ["Qwen/Qwen3-4B-Instruct-2507", 1e-3],
  ["Qwen/Qwen3-8B", 1e-3],
  ["Qwen/Qwen3-8B-Base", 1e-3],
  ["Qwen/Qwen3-32B", 3e-4],
]);

/** The best rate that was measured for a model of the hub, by its repository; undefined where none was. */
export function sweptLearningRate(repository: string | undefined): number | undefined {
  return repository === undefined ? undefined : SWEPT.get(repository);
}
