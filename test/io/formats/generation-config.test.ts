import { expect, test } from "vitest";
import {
  readGenerationSettings,
  unusedGenerationSettings,
} from "../../../src/io/formats/generation-config.ts";

const read = (json: object) => readGenerationSettings({ ...json }, "folder/generation_config.json");

// What `_prepare_generation_config` and `_get_logits_processor` of transformers 5.18 make of these.
test.each<[object, object]>([
  [{}, {}],
  [{ bos_token_id: 1, eos_token_id: [2, 3], transformers_version: "5.18.0", max_length: 4096 }, {}],
  [{ temperature: 0.7, top_p: 0.8, top_k: 20 }, {}],
  [{ do_sample: false, temperature: 0.7, repetition_penalty: 1.1 }, { repetitionPenalty: 1.1 }],
  [{ do_sample: true }, { temperature: 1, topK: 50 }],
  [
    { do_sample: true, temperature: null, top_k: null },
    { temperature: 1, topK: 50 },
  ],
  [
    { do_sample: true, repetition_penalty: 1.1, temperature: 0.7, top_k: 20, top_p: 0.8 },
    { temperature: 0.7, topK: 20, topP: 0.8, repetitionPenalty: 1.1 },
  ],
  [
    { do_sample: true, min_p: 0.05, top_k: 0 },
    { temperature: 1, topK: 0, minP: 0.05 },
  ],
  [
    { do_sample: true, top_p: 0 },
    { temperature: 1, topK: 50, topP: 1e-9 },
  ],
])("%j", (json, wanted) => {
  expect(read(json)).toEqual(wanted);
});

test("what is out of range is named, all of it, whether it is used or not", () => {
  const json = {
    do_sample: "yes",
    temperature: -1,
    top_k: 2.5,
    top_p: 1.5,
    min_p: "a",
    repetition_penalty: 0,
  };
  expect(() => read(json)).toThrow(
    /generation_config\.json: 6 problems[\s\S]*temperature is -1, expected a number of at least 0[\s\S]*top_k is 2\.5, expected a whole number[\s\S]*top_p is 1\.5[\s\S]*min_p is "a"[\s\S]*repetition_penalty is 0[\s\S]*do_sample is "yes"/,
  );
});

test("settings that would make another text are told where they are on", () => {
  const off = {
    num_beams: 1,
    no_repeat_ngram_size: 0,
    bad_words_ids: [],
    typical_p: 1,
    suppress_tokens: null,
  };
  expect(unusedGenerationSettings(off)).toEqual([]);
  expect(unusedGenerationSettings({ num_beams: 4, suppress_tokens: [7], use_cache: true })).toEqual([
    "num_beams 4",
    "suppress_tokens [7]",
  ]);
});
