import { describe, expect, test } from "vitest";
import { readTemplate } from "../../../src/io/jinja/template.ts";
import { LoraError } from "../../../src/util/fail.ts";
import { fixturePath, readJsonFile } from "../../support/fixtures.ts";

/** What Jinja2 makes of a template: a text, the line of a mistake, or an error while it renders. */
type Wanted = string | { line: number } | { error: string };

interface JinjaGoldens {
  context: Readonly<Record<string, unknown>>;
  rendered: readonly (readonly [template: string, wanted: Wanted])[];
}

const { context, rendered } = readJsonFile<JinjaGoldens>(fixturePath("."), "jinja.json");

/** What this library makes of it, and its message where it refuses. */
function render(
  template: string,
  given: Readonly<Record<string, unknown>> = context,
): { text: string } | { message: string } {
  try {
    return { text: readTemplate(template, "t").render(given).text };
  } catch (error) {
    if (error instanceof LoraError) return { message: error.message.split("\n  → ")[0]! };
    throw error;
  }
}

describe("templates as Jinja2 renders them", () => {
  test("the same text, or a refusal", () => {
    const differences = rendered.flatMap(([template, wanted]) => {
      const got = render(template);
      const same = typeof wanted === "string" ? "text" in got && got.text === wanted : "message" in got;
      return same ? [] : [{ template, wanted, got }];
    });
    expect(differences).toEqual([]);
  });

  test("a mistake of syntax is told with the line on which Jinja2 tells it", () => {
    const others = rendered.flatMap(([template, wanted]) => {
      if (typeof wanted !== "object" || !("line" in wanted)) return [];
      const got = render(template);
      const message = "message" in got ? got.message : "";
      // Names of filters and tests are looked up when they are used.
      const isLate = /No (filter|test) named|can't assign/.test(message);
      return isLate || message.startsWith(`t: line ${wanted.line}: `) ? [] : [{ template, wanted, message }];
    });
    expect(others).toEqual([]);
  });
});

test.each([
  ["a\n{% if n %}\n{% for x in xs %}\n{% endfor %}", "line 2: {% if %} has no {% endif %}"],
  ["{% generation %}a", "line 1: {% generation %} has no {% endgeneration %}"],
  ["\n{{ n", "line 2: {{ without its end"],
  ["\n\n{% include 'x' %}", "line 3: Unknown statement type: include"],
  ["{{ 9007199254740993 }}", "line 1: the number 9007199254740993, which is beyond 2^53"],
  ["{{ '\\N{BULLET}' }}", "line 1: a broken escape \\N in a string"],
])("%j is refused by its line", (template, message) => {
  expect(render(template)).toEqual({ message: `t: ${message}` });
});

test.each([
  ["{{ s|urlize }}", "the filter urlize is not supported"],
  ["{{ s.translate(d) }}", "the method translate of a text is not supported"],
  [
    "{{ s.format_map }}",
    "writing a builtin_function_or_method, which has no text of its own, is not supported",
  ],
  ["{{ lipsum() }}", "lipsum() is not supported"],
  ["{{ strftime_now('%c') }}", "%c in a date is not supported"],
  [
    "{% macro m() %}{% generation %}{% endgeneration %}{% endmacro %}{{ m() }}",
    "{% generation %} inside of a macro",
  ],
  [
    "{% generation %}{% generation %}{% endgeneration %}{% endgeneration %}",
    "or another {% generation %} is not supported",
  ],
  ["{% for x in xs recursive %}{% endfor %}", "line 1: "],
  ["{{ xs is in d }}", "line 1: "],
  ["{{ s.__class__ }}", "access to attribute '__class__' is unsafe"],
  ["{{ xs.append(1) }}", "the method append changes a list, and templates may not"],
  ["{{ raise_exception('Not so') }}", "refuses these messages: Not so"],
])("%j is refused by name", (template, message) => {
  expect(render(template)).toEqual({ message: expect.stringContaining(message) as string });
});

describe("templates that would not end, or fill the memory", () => {
  const long = "{% for a in range(99999) %}{% for b in range(99999) %}";
  test.each([
    ["{% for i in range(10**9) %}x{% endfor %}", "a range of 1000000000 is too long"],
    [`${long}{% endfor %}{% endfor %}`, "takes more than 20000000 steps"],
    [`${long}{{ s }}{% endfor %}{% endfor %}`, "makes a text of more than 16777216 characters"],
    ["{{ 'x' * 10**12 }}", "makes a text of more than 16777216 characters"],
    ["{{ [1] * 10**12 }}", "makes a list of more than 1048576 items"],
    [
      "{% set n = namespace(x='xxxxxxxx') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
      "makes a text of",
    ],
    [
      "{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}",
      "makes a list of",
    ],
    ["{{ ('x' * 9999999).replace('x', 'yyyyyy') }}", "makes a text of"],
    ["{{ 'x'.center(10**12) }}", "makes a text of"],
    ["{{ 'x' | indent(10**12, true) }}", "makes a text of"],
    ["{{ '%99999999d' | format(1) }}", "a width of 99999999 is not supported"],
    ["{{ 10**400 }}", "is beyond 2^53"],
    ["{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "is nested or calls itself too deeply"],
    ["{% set n = namespace() %}{% set n.n = n %}{{ n }}", "is nested or calls itself too deeply"],
    [`{{ ${"(".repeat(20_000)}1${")".repeat(20_000)} }}`, "is nested too deeply"],
  ])("%.60j is refused", (template, message) => {
    expect(render(template)).toEqual({ message: expect.stringContaining(message) as string });
  });

  test("a list of a hundred thousand texts is rendered", () => {
    const got = render("{% for x in xs %}{{ x }}{% endfor %}", {
      xs: Array.from({ length: 100_000 }, () => "0123456789"),
    });
    expect(got).toEqual({ text: "0123456789".repeat(100_000) });
  });
});

test("what stood in generation blocks is told by its place", () => {
  const source = "a{% for x in xs %}{% generation %}<{{ x }}>{% endgeneration %};{% endfor %}";
  const { text, generated } = readTemplate(source, "t").render({ xs: ["😀", ""] });
  expect(text).toBe("a<😀>;<>;");
  expect(generated.map(([from, to]) => text.slice(from, to))).toEqual(["<😀>", "<>"]);
});

test("a name that is undefined is not there, and None is", () => {
  const { render: of } = readTemplate("{{ a is defined }} {{ b is defined }} {{ b }}", "t");
  expect(of({ a: undefined, b: null }).text).toBe("False True None");
});

test("dates are written as in Python's C locale", () => {
  const source = "{{ strftime_now('%A %a %B %b %d %-d %e %H %I %p %M %S %j %Y %y %m %-m %F %T %u %w %%') }}";
  const { text } = readTemplate(source, "t").render({}, new Date(2024, 6, 4, 15, 5, 3));
  expect(text).toBe(
    "Thursday Thu July Jul 04 4  4 15 03 PM 05 03 186 2024 24 07 7 2024-07-04 15:05:03 4 4 %",
  );
});
