// Every field of PEFT's LoraConfig is read, ignored for a reason, or refused with a remedy.
import { describe, expect, test } from "vitest";
import { parsePeftConfig } from "../../src/adapters/config-fields.ts";
import { LORA } from "../../src/adapters/lora-codec.ts";
import { LORA_FIELD_RULES } from "../../src/adapters/lora-variants.ts";
import { fixturePath, readJsonFile } from "../support/fixtures.ts";

/** What PEFT 0.21 saves for a LoraConfig. */
const saved = readJsonFile<Record<string, unknown>>(fixturePath("."), "peft-config.json");
const parse = (more: object) => parsePeftConfig(LORA.codec, { ...saved, ...more }, "adapter_config.json");

/** A value of each field that asks for what is not there. */
const REFUSED: Record<string, unknown> = {
  arrow_config: { top_k: 2 },
  bias: "some",
  kasa_config: {},
  megatron_config: { a: 1 },
  monteclora_config: {},
  target_parameters: ["experts.down_proj"],
  use_bdlora: { nblocks: 2 },
  use_qalora: true,
  velora_config: {},
  alora_invocation_tokens: [1],
};

test("the rules are of all fields that PEFT writes, and of no others", () => {
  expect(Object.keys(LORA_FIELD_RULES).sort()).toEqual(Object.keys(saved).sort());
});

describe.each(Object.entries(LORA_FIELD_RULES))("%s", (name, rule) => {
  const isRefused = Object.hasOwn(REFUSED, name);

  test(isRefused ? "is refused with a remedy" : rule.ignored ? "is ignored for a reason" : "is read", () => {
    if (!isRefused) {
      expect(rule.isPlain({ a: 1 })).toBe(true);
      expect(() => parse({})).not.toThrow();
      return;
    }
    const own = new RegExp(`${name} is .*\\n  → \\S`);
    expect(() => parse({ [name]: REFUSED[name] })).toThrow(own);
  });
});
