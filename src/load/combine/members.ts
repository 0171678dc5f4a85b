import type { kindOf } from "../../adapters/combine/combine.ts";
import { Problems } from "../../util/fail.ts";
import { spoiltTensors } from "../../util/finite.ts";
import { shortList } from "../../util/group-lines.ts";
import type { PeftAdapter } from "../lora-files.ts";

/** An adapter that was read to be combined with others. */
export interface Member {
  readonly label: string;
  readonly weight: number;
  readonly adapter: PeftAdapter;
}

/** Everything in which adapters do not go together, and what can be done. */
export function memberProblems(
  members: readonly Member[],
  kind: ReturnType<typeof kindOf>,
  baseModel: string | undefined,
): { problems: Problems; remedies: string[] } {
  const problems = new Problems();
  const remedies = new Set<string>();
  const note = (found: readonly string[], remedy: string) => {
    problems.add(found);
    if (found.length > 0) remedies.add(remedy);
  };
  note(wrongWeights(members), "give finite weights, and leave out an adapter with weight 0");
  if (baseModel === undefined)
    note(
      otherBases(members),
      "combine adapters of one base model; where these are names of the same one, say which: --base-model NAME",
    );
  note(otherTasks(members), "combine adapters of one task");
  note(otherShapes(members), "combine adapters of one base model");
  note(spoilt(members), "take an adapter from before its training diverged");
  note(
    twiceWhole(members),
    "leave out one of them, or merge one into the base model first and train the other on that",
  );
  note(wholeAndAdapted(members), "leave out one of them");
  if (kind.of === "factors")
    note(otherRanks(members), "combine them by cat or svd, or a type that ends in _svd");
  if (kind.elects)
    note(
      negative(members),
      "the vote on signs does not know the weights, so that what is taken away would win votes; combine them by cat, svd, linear, dare_linear or magnitude_prune",
    );
  return { problems, remedies: [...remedies] };
}

function wrongWeights(members: readonly Member[]): string[] {
  return members
    .filter(({ weight }) => !Number.isFinite(weight) || weight === 0)
    .map(({ label, weight }) => `the weight of ${label} is ${weight}`);
}

function negative(members: readonly Member[]): string[] {
  return members
    .filter(({ weight }) => weight < 0)
    .map(({ label, weight }) => `the weight of ${label} is ${weight}, and the signs are voted on`);
}

/** Where they differ: who says what. */
function differing(
  what: string,
  members: readonly Member[],
  of: (member: Member) => string | null,
): string[] {
  const said = members.filter((member) => of(member) !== null);
  if (new Set(said.map(of)).size < 2) return [];
  return [`${what} differ: ${said.map((member) => `${of(member)} (${member.label})`).join(", ")}`];
}

function otherBases(members: readonly Member[]): string[] {
  const bases = differing("base models", members, ({ adapter }) => adapter.config.base_model_name_or_path);
  if (bases.length > 0) return bases;
  return differing("revisions of the base model", members, ({ adapter }) => adapter.config.revision);
}

function otherTasks(members: readonly Member[]): string[] {
  return differing("tasks", members, ({ adapter }) => adapter.config.task_type);
}

function otherShapes(members: readonly Member[]): string[] {
  return compared(members, "layers of other sizes", ({ adapter }, path) => {
    const { lora_A, lora_B } = adapter.tensors.get(path)!;
    return `${lora_A.shape[1]} → ${lora_B.shape[0]}`;
  });
}

function otherRanks(members: readonly Member[]): string[] {
  return compared(members, "different ranks", ({ adapter }, path) => `r ${adapter.tensors.get(path)!.r}`);
}

/** Layers of two adapters that differ in something, in one line for each pair of adapters. */
function compared(
  members: readonly Member[],
  what: string,
  read: (member: Member, path: string) => string,
): string[] {
  return members.flatMap((member, i) =>
    members.slice(i + 1).flatMap((other) => {
      const both = [...member.adapter.tensors.keys()].filter((path) => other.adapter.tensors.has(path));
      const found = both.filter((path) => read(member, path) !== read(other, path));
      if (found.length === 0) return [];
      const [first = ""] = found;
      const example = `${read(member, first)} and ${read(other, first)}`;
      return [`${member.label} and ${other.label} have ${what}: ${example} at ${shortList(found)}`];
    }),
  );
}

function spoilt(members: readonly Member[]): string[] {
  return members.flatMap(({ label, adapter }) => {
    const values = [...adapter.tensors].flatMap(([path, { lora_A, lora_B }]) => [
      [`${path}.lora_A`, lora_A.data] as const,
      [`${path}.lora_B`, lora_B.data] as const,
    ]);
    const saved = [...adapter.saved].map(([name, { data }]) => [name, data] as const);
    return spoiltTensors([...values, ...saved]).map((problem) => `${label}: ${problem}`);
  });
}

/** Modules that two adapters have trained whole, each to other values: there is no sum of them. */
function twiceWhole(members: readonly Member[]): string[] {
  return members.flatMap((member, i) =>
    members.slice(i + 1).flatMap((other) => {
      const found = [...member.adapter.saved].filter(([name, { data }]) => {
        const theirs = other.adapter.saved.get(name);
        return theirs && !(data.length === theirs.data.length && data.every((x, j) => x === theirs.data[j]));
      });
      if (found.length === 0) return [];
      const names = shortList(found.map(([name]) => name));
      return [`${member.label} and ${other.label} have both trained ${names} whole, each to other values`];
    }),
  );
}

/** Modules that one adapter has trained whole and another one adapts. */
function wholeAndAdapted(members: readonly Member[]): string[] {
  const adapted = new Set(members.flatMap(({ adapter }) => [...adapter.tensors.keys()]));
  return members.flatMap(({ label, adapter }) => {
    const found = [...adapter.saved.keys()].filter((name) => adapted.has(name.replace(/\.[^.]+$/, "")));
    return found.length > 0 ? [`${label} has trained ${shortList(found)} whole, and another adapts it`] : [];
  });
}
