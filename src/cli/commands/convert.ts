import { existsSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { shownReference } from "../../io/files/address.ts";
import { type FileContent, readObject } from "../../io/files/files.ts";
import { MLX_WEIGHTS } from "../../io/formats/mlx.ts";
import { PEFT_CONFIG, PEFT_WEIGHTS } from "../../io/formats/peft-names.ts";
import { withoutQuantisation } from "../../io/formats/quantised/settings.ts";
import { convertAdapter } from "../../load/convert/convert-adapter.ts";
import type { AdapterFormat } from "../../load/convert/formats.ts";
import { MODELFILE, modelfile } from "../../load/ollama.ts";
import type { HfConfig } from "../../models/config-reader.ts";
import { folderWriter } from "../../platform/node-folders/folder-writer.ts";
import { attempt, fail, failAll, type Problem } from "../../util/fail.ts";
import { count } from "../format.ts";
import { describeErrors, describeRanks, describeStartErrors } from "../lora-layers.ts";
import { adapterSource, openSource } from "../open.ts";
import { claimOutputFolder } from "../output-folder.ts";
import type { Settled } from "../settings.ts";
import type { CONVERT_OPTIONS } from "../tables/convert.ts";
import { checkTaskSettings } from "../task-settings.ts";
import type { Terminal } from "../terminal.ts";
import { toPlainLora, toPlainStart } from "../to-plain-lora.ts";

type ConvertSettings = Settled<typeof CONVERT_OPTIONS>["settings"];

/** @throws LoraError listing what contradicts each other or is missing */
export function checkConvertSettings(settled: Settled<typeof CONVERT_OPTIONS>): void {
  checkTaskSettings(settled);
  const { settings, given } = settled;
  const { source, to, output } = settings;
  const problems = [];
  if (source.length !== 1)
    problems.push(`${source.length} adapters are given, wanted one: convert ADAPTER --to FORMAT`);
  if (to === undefined) problems.push("to is missing; give --to peft, mlx or gguf");
  if (
    settings.lora_rank !== undefined &&
    settings.lora_rank >= 1 &&
    !Number.isSafeInteger(settings.lora_rank)
  )
    problems.push(`lora_rank is ${settings.lora_rank}, wanted a whole number, or a share below 1`);
  if (to === "gguf" && !output.endsWith(".gguf"))
    problems.push(`output is ${output}, and gguf makes a file: name it .gguf`);
  for (const key of ["type", "ollama_from"] as const) {
    if (given.has(key) && to !== "gguf") problems.push(`${key} means nothing for ${to}`);
  }
  failAll("convert", problems, "the command's --help describes each");
}

/**
 * `webgpu-lora convert`: writes an adapter in another format. Of the base model no more than its config is read.
 * @returns the exit code
 */
export async function runConvert(
  { settings }: Settled<typeof CONVERT_OPTIONS>,
  terminal: Terminal,
): Promise<number> {
  const [reference = ""] = settings.source;
  const to = settings.to as AdapterFormat;
  const note = (line: string) => terminal.note(line);
  const place = placeOf(settings, to, reference);
  const { adapter_revision: revision, token, verify } = settings;
  const source = await adapterSource({ reference, revision, token, verify }, note);
  const baseConfig = (name: string | null) => readBaseConfig(settings, name, note);
  const plain = await toPlainStart(source, settings, note);
  const given = plain?.source ?? source;
  const made =
    settings.lora_rank === undefined ? plain : await toPlainLora(given, settings, baseConfig, note);
  const fileName = place.name || undefined;
  const options = { to, fileName, type: settings.type, baseConfig };
  const converted =
    made && to === "peft"
      ? { ...made, count: made.layers.length, warnings: [] }
      : await convertAdapter(made?.source ?? given, options);
  for (const warning of converted.warnings) note(`warning: ${warning}`);
  const files = withModelfile(converted.files, settings, place, note);
  claimOutputFolder(place.folder, { files: [...files.keys()] });
  await folderWriter(place.folder).write(files);
  const modules = converted.count === 1 ? "1 layer" : `${count(converted.count)} layers`;
  const shown = shownReference(reference);
  terminal.print(
    `Converted ${shown} from ${(plain ?? made)?.from ?? converted.from} to ${to}: ${modules}. Saved to ${settings.output}.`,
  );
  if (made) terminal.print(`LoRA of ${describeRanks(made.layers)}.`);
  if (plain) for (const line of describeStartErrors(plain.layers)) terminal.print(line);
  if (made !== plain) for (const line of describeErrors(made?.layers ?? [])) terminal.print(line);
  return 0;
}

interface Place {
  readonly folder: string;
  /** Of the file in GGUF. */
  readonly name: string;
}

/** @throws LoraError where an adapter lies there already: its files and the new ones would be read together */
function placeOf({ output }: ConvertSettings, to: AdapterFormat, reference: string): Place {
  if (to === "gguf") {
    if (resolve(output) === resolve(reference))
      fail("output", `${output} is the adapter itself`, "choose another name");
    return { folder: dirname(output), name: basename(output) };
  }
  const there = [PEFT_CONFIG, PEFT_WEIGHTS, MLX_WEIGHTS].filter((name) => existsSync(join(output, name)));
  if (there.length > 0) {
    fail("output", `${output} holds an adapter already (${there.join(", ")})`, "choose another folder");
  }
  return { folder: output, name: "" };
}

/** The base model's `config.json`, and no more of it. */
async function readBaseConfig(
  { model, revision, token, verify }: ConvertSettings,
  name: string | null,
  note: (line: string) => void,
): Promise<HfConfig> {
  const reference = model ?? name;
  if (reference === null) {
    return fail("convert", "the adapter names no base model, whose config is needed", "name it: --model REF");
  }
  const onWarning = (warning: string) => note(`warning: ${warning}`);
  const problems: Problem[] = [];
  const config = await attempt(problems, async () => {
    const files = await openSource(reference, { revision, token, verify, onWarning });
    return withoutQuantisation(await readObject(files, "config.json"));
  });
  failAll("the base model's config", problems, model === undefined ? "name the base model: --model REF" : []);
  return config as HfConfig;
}

function withModelfile(
  files: ReadonlyMap<string, FileContent>,
  { ollama_from: from }: ConvertSettings,
  { folder, name }: Place,
  note: (line: string) => void,
): Map<string, FileContent> {
  if (from === undefined) return new Map(files);
  if (existsSync(join(folder, MODELFILE))) {
    note(`${MODELFILE} is there already, and stays as it is.`);
    return new Map(files);
  }
  const text = modelfile({ tokenizer: undefined, chatTemplates: new Map() }, { from, adapter: `./${name}` });
  return new Map([...files, [MODELFILE, text]]);
}
