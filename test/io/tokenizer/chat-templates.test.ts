import { expect, test } from "vitest";
import { memoryFiles } from "../../../src/io/files/files.ts";
import { chooseChatTemplate, readChatTemplates } from "../../../src/io/tokenizer/chat-templates.ts";

const read = (files: Readonly<Record<string, string>>) => {
  const bytes = Object.entries(files).map(([name, text]) => [name, new TextEncoder().encode(text)] as const);
  return readChatTemplates(memoryFiles("m", new Map(bytes)));
};

const config = (chat_template: unknown) => ({ "tokenizer_config.json": JSON.stringify({ chat_template }) });

test("the files win over tokenizer_config.json", async () => {
  const files = {
    ...config("old"),
    "chat_template.jinja": "new",
    "additional_chat_templates/tool_use.jinja": "tools",
    "additional_chat_templates/readme.md": "no",
  };
  expect(Object.fromEntries(await read(files))).toEqual({
    default: { source: "new", place: "m/chat_template.jinja" },
    tool_use: { source: "tools", place: "m/additional_chat_templates/tool_use.jinja" },
  });
});

test("without files tokenizer_config.json counts, with one template or several", async () => {
  const place = "m/tokenizer_config.json, chat_template";
  expect(await read(config("one"))).toEqual(new Map([["default", { source: "one", place }]]));
  const several = [
    { name: "default", template: "a" },
    { name: "rag", template: "b" },
  ];
  expect([...(await read(config(several)))].map(([name, { source }]) => [name, source])).toEqual([
    ["default", "a"],
    ["rag", "b"],
  ]);
  expect(await read(config(null))).toEqual(new Map());
  expect(await read({})).toEqual(new Map());
});

test.each([[5], [["a"]], [[{ name: "a" }]], [{ default: 1 }]])(
  "chat_template %j is refused",
  async (value) => {
    await expect(read(config(value))).rejects.toThrow(
      "m/tokenizer_config.json: chat_template is no template",
    );
  },
);

test("one is chosen by its name, and for tools where the model has one for them", async () => {
  const sources = await read(config({ default: "a", tool_use: "b", rag: "c" }));
  const choose = (options?: Parameters<typeof chooseChatTemplate>[2]) =>
    chooseChatTemplate(sources, "m", options).source;
  expect(choose()).toBe("a");
  expect(choose({ hasTools: true })).toBe("b");
  expect(choose({ name: "rag", hasTools: true })).toBe("c");
  expect(() => choose({ name: "rga" })).toThrow(
    'has no chat template "rga"\n  → its templates are "default"',
  );
  const unnamed = await read(config({ rag: "c" }));
  expect(() => chooseChatTemplate(unnamed, "m")).toThrow("has several chat templates and no default");
  expect(() => chooseChatTemplate(new Map(), "m")).toThrow("m: has no chat template");
});
