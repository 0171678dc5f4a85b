import { statSync } from "node:fs";
import { expect, test } from "vitest";
import { folderFiles } from "../../../src/platform/node-files.ts";
import { resolveModelFiles } from "../../../src/platform/node-sources.ts";
import { planFiles } from "../../../src/train/plan/plan-training.ts";
import { serve } from "../../platform/serve.ts";
import { fixturePath } from "../../support/fixtures.ts";

test.each([
  ["one file", "models/demo"],
  ["shards with an index", fixturePath("llama-tied")],
])("of weights behind a URL, the headers alone come: %s", async (_, folder) => {
  const server = await serve({ "/model/": { folder } });
  try {
    const files = await resolveModelFiles(`${server.url}/model`, { cache: false });
    const options = { search: false, maxLength: 32 };
    const { model: __, ...plan } = await planFiles(files, options);
    const { model: ___, ...local } = await planFiles(folderFiles(folder), options);
    expect(plan).toEqual(local);
    const weights = [...server.sent].filter(([path]) => path.endsWith(".safetensors"));
    expect(weights.length).toBeGreaterThan(0);
    for (const [path, bytes] of weights) {
      const { size } = statSync(`${folder}/${path.split("/").at(-1)}`);
      expect(bytes, path).toBeLessThan(Math.max(size / 4, 65_536)); // which is read at once
    }
  } finally {
    server.close();
  }
});
