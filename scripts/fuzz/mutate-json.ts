import type { Random } from "../../src/util/random.ts";
import { copyTree, type JsonList, type JsonMember, type JsonTree, leaf, textOf } from "./json-tree.ts";
import { spoilText } from "./mutate-text.ts";

/** Spellings that readers disagree about, or that lie at the edge of a type. */
const LEAVES = [
  ...["null", "true", "false", "0", "1", "2", "3", "-1", "-0", "1.0", "0.5", "1e0", "1E2", "1e-7", "1e400"],
  ...["255", "65536", "2147483648", "4294967296", "9007199254740991", "9007199254740993"],
  ...["18446744073709551615", "18446744073709551616", "1e19", "3.4028236e38", "5e-324", "-1e308"],
  ...["NaN", "Infinity", "-Infinity", "01", "+1", ".5", "1.", "0x10", "1_000", "undefined", "'a'"],
  ...[
    '""',
    '" "',
    '"0"',
    '"1"',
    '"\\u0000"',
    '"\\ud800"',
    '"\\udc00\\ud800"',
    '"\\ud83d\\ude00"',
    '"\u00e9"',
  ],
  ...[
    '"\\u001b[31m"',
    '"\\u202e"',
    '"\ufeff"',
    '"__proto__"',
    '"constructor"',
    '"toString"',
    '"../x"',
    '"/"',
  ],
  ...[
    '"a\\\\b"',
    '"*"',
    '"(a+)+$"',
    '"["',
    '"\\\\p{L}+"',
    '"model"',
    '"F32"',
    '"BF16"',
    '"none"',
    '"all-linear"',
  ],
  ...["[]", "{}", "[null]", "[[]]", '{"":0}', '{"a":{"a":1}}'],
];

/** Keys that objects inherit, and others that break what is put together of keys. */
const KEYS = [
  ...['"__proto__"', '"constructor"', '"toString"', '"hasOwnProperty"', '"length"', '"then"', '"toJSON"'],
  ...['""', '"0"', '"-1"', '"1.0"', '" "', '"a.b"', '"\\u0000"', '"\\ud800"', '"__metadata__"', '"type"'],
];

/** A place in a tree, which can be given another content. */
interface Slot {
  readonly value: JsonTree;
  set(value: JsonTree): void;
  /** The list or the object that it is in; none for the whole tree. */
  readonly inside?: JsonTree;
  /** Its index there. */
  readonly index: number;
}

/**
 * Changes a tree in one to four places.
 * @param donors trees from which parts are taken over
 * @returns the changed tree; the one given stays as it is
 */
export function mutateJson(tree: JsonTree, random: Random, donors: readonly JsonTree[] = []): JsonTree {
  const root = { value: copyTree(tree) };
  const changes = 1 + random.integer(random.integer(4) + 1);
  for (let i = 0; i < changes; i++) change(root, random, donors);
  return root.value;
}

function change(root: { value: JsonTree }, random: Random, donors: readonly JsonTree[]): void {
  const slot = pickSlot(root, random);
  const { value, inside, index } = slot;
  switch (random.integer(12)) {
    case 0:
    case 1:
      slot.set(leaf(random.pick(LEAVES)));
      break;
    case 2:
      slot.set(copyTree(pickSlot({ value: random.pick([root.value, ...donors]) }, random).value));
      break;
    case 3:
      remove(inside, index);
      break;
    case 4:
      repeat(inside, index, random);
      break;
    case 5:
      if (inside?.kind === "members") rename(inside.members[index] as JsonMember, root.value, random, donors);
      else slot.set(wrap(value, random));
      break;
    case 6:
      slot.set(random.integer(3) === 0 ? wrap(value, random) : unwrap(value));
      break;
    case 7:
      if (value.kind === "list") random.shuffle(value.items);
      else if (value.kind === "members") random.shuffle(value.members);
      else slot.set(nudged(value.text, random));
      break;
    case 8:
      if (value.kind === "members") adopt(value.members, random, donors);
      else if (value.kind === "list") value.items.push(leaf(random.pick(LEAVES)));
      else slot.set(nudged(value.text, random));
      break;
    default:
      slot.set(value.kind === "leaf" ? nudged(value.text, random) : leaf(random.pick(LEAVES)));
  }
}

/** A place at any depth, the same chance for each way down: fields near the root are not lost among a vocabulary. */
function pickSlot(root: { value: JsonTree }, random: Random): Slot {
  const set = (value: JsonTree) => {
    root.value = value;
  };
  let slot: Slot = { value: root.value, set, index: 0 };
  while (slot.value.kind !== "leaf") {
    const inside = slot.value;
    const count = inside.kind === "list" ? inside.items.length : inside.members.length;
    if (count === 0 || random.integer(6) === 0) break;
    slot = slotAt(inside, random.integer(count));
  }
  return slot;
}

function slotAt(inside: Exclude<JsonTree, { kind: "leaf" }>, index: number): Slot {
  const member = inside.kind === "members" ? (inside.members[index] as JsonMember) : undefined;
  const set = (value: JsonTree) => {
    if (member) member.value = value;
    else if (inside.kind === "list") inside.items[index] = value;
  };
  const value = member?.value ?? (inside as JsonList).items[index];
  return { value: value as JsonTree, set, inside, index };
}

function remove(inside: JsonTree | undefined, index: number): void {
  if (inside?.kind === "list") inside.items.splice(index, 1);
  if (inside?.kind === "members") inside.members.splice(index, 1);
}

/** The same again: a key twice, or many items. */
function repeat(inside: JsonTree | undefined, index: number, random: Random): void {
  if (inside?.kind === "list") {
    const times = random.pick([1, 1, 2, 3, 200]);
    const item = inside.items[index] as JsonTree;
    inside.items.splice(index, 0, ...Array.from({ length: times }, () => copyTree(item)));
  }
  if (inside?.kind === "members") {
    const { key, value } = inside.members[index] as JsonMember;
    const other = random.integer(3) === 0 ? leaf(random.pick(LEAVES)) : copyTree(value);
    inside.members.splice(random.integer(inside.members.length + 1), 0, { key, value: other });
  }
}

function rename(member: JsonMember, root: JsonTree, random: Random, donors: readonly JsonTree[]): void {
  const kind = random.integer(3);
  if (kind === 0) member.key = random.pick(KEYS);
  else if (kind === 1) member.key = nudged(member.key, random).text;
  else {
    const { inside, index } = pickSlot({ value: random.pick([root, ...donors]) }, random);
    if (inside?.kind === "members") member.key = (inside.members[index] as JsonMember).key;
  }
}

/** Takes over a member of another tree. */
function adopt(members: JsonMember[], random: Random, donors: readonly JsonTree[]): void {
  if (donors.length === 0) return;
  const { inside, index } = pickSlot({ value: random.pick(donors) }, random);
  if (inside?.kind !== "members") return;
  const { key, value } = inside.members[index] as JsonMember;
  members.push({ key, value: copyTree(value) });
}

/** Levels of nesting beyond what a recursive reader has a stack for. */
export const DEEP = 20_000;

/** Deeper than readers go by recursion, now and then. */
function wrap(value: JsonTree, random: Random): JsonTree {
  const depth = random.pick([1, 1, 1, 2, 126, 130, DEEP]);
  if (depth < DEEP) {
    let wrapped = value;
    for (let i = 0; i < depth; i++) wrapped = { kind: "list", items: [wrapped] };
    return wrapped;
  }
  const [open, close] = random.integer(2) === 0 ? ["[", "]"] : ['{"a":', "}"];
  return leaf(open.repeat(depth) + textOf(value) + close.repeat(depth));
}

function unwrap(value: JsonTree): JsonTree {
  if (value.kind === "list") return value.items[0] ?? leaf("null");
  if (value.kind === "members") return value.members[0]?.value ?? leaf("null");
  return leaf(value.text.startsWith('"') ? value.text.slice(1, -1) : `"${value.text}"`);
}

/** A number near by or in another spelling, a text with a change in it. */
function nudged(text: string, random: Random) {
  const number = Number(text);
  if (text.startsWith('"')) {
    const inner = text.slice(1, -1);
    return leaf(
      `"${random.pick([() => inner + inner, () => spoilText(inner, random), () => inner.toUpperCase()])()}"`,
    );
  }
  if (!Number.isFinite(number)) return leaf(random.pick(LEAVES));
  const others = [number + 1, number - 1, -number, number * 2, number / 2, number * 65_536, number * 2 ** 40];
  const spelled = [
    `${text}.0`,
    `${text}e0`,
    `-${text}`,
    `${text}0`,
    `${text}00000000000000000000`,
    `"${text}"`,
  ];
  return leaf(random.integer(2) === 0 ? String(random.pick(others)) : random.pick(spelled));
}
