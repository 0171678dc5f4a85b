import { describe, expect, test } from "vitest";
import { createRandom, type Random } from "../../../src/util/random.ts";
import {
  ahead,
  behind,
  choice,
  type Expression,
  sequence,
  set,
} from "../../../src/util/regexp/expression.ts";
import { finder } from "../../../src/util/regexp/finder.ts";
import { javaScript } from "../../../src/util/regexp/java-script.ts";
import { isLinear } from "../../../src/util/regexp/linear.ts";
import { Matcher } from "../../../src/util/regexp/matcher.ts";

const repeat = (body: Expression, min: number, max = Infinity, lazy = false): Expression => ({
  kind: "repeat",
  body,
  min,
  max,
  lazy,
});
const SETS = ["a", "b", "[ab]", "[^a]", "\\p{L}", "\\u{1f600}", "[^\\n]"].map(set);

/** An expression of every kind; what is repeated is never empty, where engines differ. */
function randomExpression(random: Random, depth: number, isBehind = false): Expression {
  const inner = () => randomExpression(random, depth - 1, isBehind);
  const pick = depth === 0 ? 0 : random.integer(10);
  if (pick < 3) return random.pick(SETS);
  if (pick < 5) return sequence(inner(), inner());
  if (pick === 5) return choice(inner(), inner());
  if (pick === 6)
    return repeat(sequence(random.pick(SETS), inner()), 0, 1 + random.integer(2), random.integer(3) === 0);
  if (pick === 7)
    return repeat(sequence(random.pick(SETS), inner()), random.integer(2), Infinity, random.integer(3) === 0);
  if (pick === 8 && !isBehind) return { kind: "atomic", body: inner() };
  const negated = random.integer(2) === 0;
  return random.integer(2) === 0
    ? ahead(randomExpression(random, depth - 1), negated)
    : behind(randomExpression(random, depth - 1, true), negated);
}

function randomText(random: Random): string {
  const letters = ["a", "b", "a", "c", "\n", "😀", "é"];
  return Array.from({ length: random.integer(14) }, () => random.pick(letters)).join("");
}

/** Attempt by attempt: with the flag g, V8 also looks between the halves of a surrogate pair. */
function matchesOf(native: RegExp, text: string): [number, number][] {
  const found: [number, number][] = [];
  for (let at = 0; at <= text.length; ) {
    native.lastIndex = at;
    const match = native.exec(text);
    if (match) found.push([at, at + match[0].length]);
    at += match?.[0].length || ((text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1);
  }
  return found;
}

test("3000 expressions find in random texts what JavaScript's engine finds", () => {
  const random = createRandom(7);
  let found = 0;
  for (let i = 0; i < 3000; i++) {
    const expression = randomExpression(random, 4);
    const [native, own] = [new RegExp(javaScript(expression), "vy"), new Matcher(expression)];
    const bounded = finder(expression);
    for (let j = 0; j < 8; j++) {
      const text = randomText(random);
      const wanted = matchesOf(native, text);
      expect([javaScript(expression), text, ...own.matches(text)]).toEqual([native.source, text, ...wanted]);
      expect([javaScript(expression), text, ...bounded(text)]).toEqual([native.source, text, ...wanted]);
      found += wanted.length;
    }
  }
  expect(found).toBeGreaterThan(10_000);
});

const LETTER = set("\\p{L}");
const SPACE = set("\\p{White_Space}");
const ANY = set("[^]");

describe("time", () => {
  const word = set("[a-z_.0-9]");
  const hard: [string, Expression][] = [
    ["([a-z_.0-9]+)+!", sequence(repeat(repeat(word, 1), 1), set("!"))],
    ["\\s+$", sequence(repeat(SPACE, 1), ahead(ANY, true))],
    ["(a|b|ab)*c", sequence(repeat(choice(set("a"), set("b"), sequence(set("a"), set("b"))), 0), set("c"))],
    ["a*a*a*a*c", sequence(...[1, 2, 3, 4].map(() => repeat(set("a"), 0)), set("c"))],
    ["(?=.*c)a", sequence(ahead(sequence(repeat(ANY, 0), set("c"))), set("a"))],
    ["(?=.*a)c", sequence(ahead(sequence(repeat(ANY, 0), set("a"))), set("c"))],
    ["(?<=c.*)a", sequence(behind(sequence(set("c"), repeat(ANY, 0))), set("a"))],
    ["(?>a*)c", sequence({ kind: "atomic", body: repeat(set("a"), 0) }, set("c"))],
    [
      "(?>a*)(?!c)c",
      sequence({ kind: "atomic", body: repeat(set("a"), 0) }, ahead(set("c"), true), set("c")),
    ],
  ];
  const texts = (length: number) => ["a", "ab", " ", "b"].map((part) => part.repeat(length / part.length));

  test.each(hard)("of %s grows with the text's length, no faster", (_, expression) => {
    const steps = (length: number) =>
      Math.max(
        ...texts(length).map((text) => {
          const budget = { steps: 1e9 };
          for (const _ of new Matcher(expression, budget).matches(text));
          return 1e9 - budget.steps;
        }),
      );
    expect(steps(20_000)).toBeLessThan(2.1 * steps(10_000));
  });

  test.each(hard)("%s is through a million characters soon", (_, expression) => {
    const find = finder(expression);
    for (const text of texts(200_000)) expect([...find(`${text}x`)].length).toBeLessThan(200_002);
  });
});

test("an expression goes to JavaScript's engine only where an attempt is certain to end in time", () => {
  const a = set("a");
  const linear = [
    sequence(repeat(set(" "), 0, 1), repeat(LETTER, 1)),
    sequence(repeat(SPACE, 1), ahead(set("[^\\p{White_Space}]"), true)),
    sequence(repeat(SPACE, 0), repeat(set("[\\r\\n]"), 1)),
    sequence(repeat(LETTER, 0), repeat(LETTER, 1), repeat(choice(a, SPACE), 0, 1)),
  ];
  const others = [
    repeat(repeat(a, 1), 1),
    sequence(repeat(a, 0), repeat(a, 0), set("b")),
    sequence(repeat(choice(a, sequence(a, a)), 0), set("b")),
    sequence(...Array.from({ length: 40 }, () => repeat(a, 0, 1)), set("b")),
    sequence(ahead(repeat(a, 0)), set("b")),
  ];
  expect(linear.map(isLinear)).toEqual(linear.map(() => true));
  expect(others.map(isLinear)).toEqual(others.map(() => false));
});

test("a complement in a group that is repeated is seen, which V8 overlooks under the flag v", () => {
  const expression = repeat(sequence(set("a"), set("[^b]")), 0, 2);
  expect([...finder(expression)("acad")]).toEqual([
    [0, 4],
    [4, 4],
  ]);
});
