import { expect, test } from "vitest";
import { nearest } from "../../src/util/nearest.ts";

test("names what was most likely meant, or nothing", () => {
  const keys = ["text", "prompt", "completion", "learning_rate", "lora_r"];
  expect(nearest("promt", keys)).toBe("prompt");
  expect(nearest("complation", keys)).toBe("completion");
  expect(nearest("learning-rate", keys)).toBe("learning_rate");
  expect(nearest("learningRaet", keys)).toBe("learning_rate");
  expect(nearest("Text", keys)).toBe("text");
  expect(nearest("messages", keys)).toBeUndefined();
  expect(nearest("", keys)).toBeUndefined();
  expect(nearest("x", [])).toBeUndefined();
});
