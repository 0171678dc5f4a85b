import { join } from "node:path";
import { type Message, messagesProblem } from "../../../src/data/chat/messages.ts";
import { readChatTemplate } from "../../../src/data/chat/read-chat-template.ts";
import { renderChat } from "../../../src/data/chat/render.ts";
import { readJson } from "../../../src/io/files/files.ts";
import { readChatTemplates } from "../../../src/io/tokenizer/chat-templates.ts";
import { fail } from "../../../src/util/fail.ts";
import type { Random } from "../../../src/util/random.ts";
import { FIXTURES, jsonAt, textAt } from "../corpus.ts";
import { textOf, treeOf } from "../json-tree.ts";
import { mutateJson } from "../mutate-json.ts";
import { bytesOf, mutateText } from "../mutate-text.ts";
import { ensure, folderOf, type InputFiles, type Target } from "../target.ts";

const [CONFIG, FILE, MESSAGES] = ["tokenizer_config.json", "chat_template.jinja", "messages.json"] as const;

/** Pieces of templates that loop, recurse, grow, reach for what objects inherit, or end what was not begun. */
const PIECES = [
  ...[
    "{% for i in range(1000000) %}",
    "{% endfor %}",
    "{% if x %}",
    "{% else %}",
    "{% endif %}",
    "{% raw %}",
  ],
  ...[
    "{% set ns = namespace(a=1) %}",
    "{% set ns.a = ns.a + ns.a %}",
    "{% set x = [x, x] %}",
    "{% generation %}",
  ],
  ...[
    "{% endgeneration %}",
    "{% macro m(a) %}{{ m(a) }}{% endmacro %}",
    "{{ m(1) }}",
    "{{ 'x' * 100000000 }}",
  ],
  ...[
    "{{ messages.__class__ }}",
    "{{ constructor }}",
    "{{ messages['__proto__'] }}",
    "{{ ''.join(messages) }}",
  ],
  ...[
    "{{ messages | tojson(indent=1000000) }}",
    "{{ 1 / 0 }}",
    "{{ 10 ** 400 }}",
    "{{ x | nosuch }}",
    "{#",
    "-%}",
  ],
  ...[
    "{{ raise_exception('no') }}",
    "{{ [1, 2][9].a }}",
    "{{ '%s' | format(1, 2) }}",
    "{{ cycler }}",
    "{{",
    "}}",
  ],
  ...[
    "{{ messages[-1]['content'] }}",
    "{% break %}",
    "{{ 'a'.replace('', 'b' * 9999) }}",
    "{{ {'a': 1}.items() }}",
  ],
  ...[
    "{{ strftime_now('%Y %Q') }}",
    "{{ 'x' ~ loop.index }}",
    "{{ not }}",
    "{{ ((((((((((1)))))))))) }}",
    "{% set x %}",
  ],
];

let templates: readonly string[] | undefined;
let chats: readonly unknown[] | undefined;

function texts(): readonly string[] {
  templates ??= ["marked", "strict", "tools"].map((name) => textAt(join(FIXTURES, "chat", `${name}.jinja`)));
  return templates;
}

function conversations(): readonly unknown[] {
  const { conversations: found } = jsonAt(join(FIXTURES, "chat-templates.json")) as { conversations: object };
  chats ??= Object.values(found);
  return chats;
}

function brokenTemplate(random: Random): string {
  let text = random.pick(texts());
  for (let left = random.integer(4); left > 0; left--) {
    const at = random.integer(text.length + 1);
    const other = random.pick(texts());
    const start = random.integer(other.length);
    const piece = random.pick([random.pick(PIECES), other.slice(start, start + random.integer(80))]);
    text = text.slice(0, at) + piece + text.slice(at + random.pick([0, 0, piece.length]));
  }
  return random.integer(3) === 0 ? mutateText(text, random) : text;
}

function brokenFiles(random: Random): InputFiles {
  const source = brokenTemplate(random);
  const chat = treeOf(random.pick(conversations()));
  const messages = random.integer(2) === 0 ? chat : mutateJson(chat, random);
  const forms = [source, [{ name: "default", template: source }], { default: source, tool_use: source }];
  const config = treeOf({ chat_template: random.pick<unknown>(forms), bos_token: "<s>" });
  const isFile = random.integer(2) === 0;
  const changed = random.integer(4) === 0 ? mutateJson(config, random) : config;
  return new Map([
    isFile ? [FILE, bytesOf(source, random)] : [CONFIG, bytesOf(textOf(changed), random)],
    [MESSAGES, bytesOf(textOf(messages), random)],
  ]);
}

/** Chat templates: rendering comes to an end, twice to the same, and marks parts of what is rendered. */
export const template: Target = {
  make: brokenFiles,
  async read(input) {
    const files = folderOf(input);
    const sources = await readChatTemplates(files);
    const messages = await readJson(files, MESSAGES);
    const problem = messagesProblem(messages);
    if (problem !== undefined) fail(MESSAGES, problem, "each message needs role and content");
    for (const source of sources.values()) {
      const read = readChatTemplate(source, { specialTokens: { bos_token: "<s>", eos_token: "</s>" } });
      const render = () => renderChat(messages as Message[], read, { now: new Date(0) });
      const { text, generated } = render();
      ensure(text === render().text, () => "rendered again it is another text");
      const isInside = ([start, end]: readonly [number, number]) =>
        0 <= start && start <= end && end <= text.length;
      ensure(generated.every(isInside), () => `${generated} lie outside of ${text.length} characters`);
    }
  },
};
