import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { webHash } from "../../src/platform/web-hash.ts";
import { seeded, utf8 } from "../io/helpers.ts";

describe.each(["sha1", "sha256"] as const)("%s", (algorithm) => {
  test.each([0, 1, 55, 56, 63, 64, 65, 119, 120, 127, 128, 1000, 10_001])(
    "of %s bytes in any pieces",
    (size) => {
      const random = seeded(size);
      const content = Uint8Array.from({ length: size }, () => random() * 256);
      const hash = webHash(algorithm);
      for (let at = 0; at < size; ) {
        const end = Math.min(size, at + 1 + Math.floor(random() * 150));
        hash.update(content.subarray(at, end));
        at = end;
      }
      expect(hash.hex()).toBe(createHash(algorithm).update(content).digest("hex"));
    },
  );
});

test("the standard's own example", () => {
  const hash = webHash("sha256");
  hash.update(utf8("abc"));
  expect(hash.hex()).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
});
