import { describe, expect, test } from "vitest";
import { CHAT_GOLDENS, digest, renderCases, templatesOf } from "../../support/chat-goldens.ts";
import { fixturePath, sharedPath } from "../../support/fixtures.ts";

const { goldens } = CHAT_GOLDENS;
const published = sharedPath("tokenizers/chat_templates_trl");

/** Cases whose text is another one than transformers', `case setting: entry, not entry`. */
function differences(source: string, name: string): string[] {
  return Object.entries(goldens[name] ?? {})
    .filter(([setting]) => setting !== "template")
    .flatMap(([setting, row]) => {
      const wanted = row.split(" ");
      return renderCases(source, setting)
        .map(({ case: chat, entry }, i) => ({ chat, entry, want: wanted[i] }))
        .filter(({ entry, want }) => entry !== want)
        .map(({ chat, entry, want }) => `${chat} ${setting}: ${entry}, not ${want}`);
    });
}

test.each([...templatesOf(fixturePath("chat"))])(
  "our %s renders as transformers renders it",
  (name, source) => {
    const golden = `chat/${name}`;
    expect(goldens[golden]?.template).toBe(digest(source));
    expect(differences(source, golden)).toEqual([]);
  },
);

describe.skipIf(published === undefined)("templates that TRL publishes", () => {
  const templates = published === undefined ? new Map<string, string>() : templatesOf(published);

  test("are those that the goldens were made of", () => {
    const digests = Object.entries(goldens).filter(([name]) => !name.includes("/"));
    expect(new Map(digests.map(([name, { template }]) => [name, template]))).toEqual(
      new Map([...templates].map(([name, source]) => [name, digest(source)])),
    );
  });

  test.each([...templates])("%s renders as transformers renders it", (name, source) => {
    expect(differences(source, name)).toEqual([]);
  });
});
