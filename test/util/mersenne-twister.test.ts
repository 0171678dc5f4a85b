import { expect, test } from "vitest";
import { mersenneTwister, torchUniform } from "../../src/util/mersenne-twister.ts";
import { fixturePath, readTensors } from "../support/fixtures.ts";

test("MT19937 gives the published numbers", () => {
  const bits = mersenneTwister(5489);
  expect(Array.from({ length: 3 }, bits)).toEqual([3499211612, 581869302, 3890346734]);
  for (let i = 4; i < 10_000; i++) bits();
  expect(bits()).toBe(4123659995); // the 10 000th, which C++ demands
});

test("uniform values are PyTorch's to the bit", async () => {
  const stored = await readTensors(fixturePath("methods/vera"), "adapter_model.safetensors");
  const bits = mersenneTwister(0);
  const [A, B] = ["base_model.vera_A", "base_model.vera_B"].map((name) => stored.get(name)!);
  // PEFT draws [r, in] and then [out, r], of the widest layers: kaiming_uniform_ with a gain of √2.
  expect(torchUniform(bits, A!.length, Math.sqrt(6 / 56))).toEqual(A);
  expect(torchUniform(bits, B!.length, Math.sqrt(6 / 4))).toEqual(B);
});
