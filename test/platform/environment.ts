// What the platform tests share: the built package, and what has to hold of the smoke suite in every runtime.
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, onTestFinished } from "vitest";
import * as library from "../../src/index.node.ts";
import { builtOnce } from "../support/build-once.ts";
import { testDevice } from "../support/device.ts";
import {
  BUNDLED_MODEL,
  fixturePath,
  type Golden,
  goldenSequences,
  readJsonFile,
  readTensors,
} from "../support/fixtures.ts";
import { ROOT } from "../support/shaders.ts";
import { type SmokeInput, type SmokeReport, smoke } from "./smoke.ts";

/** Most that a loss or a score may differ from PyTorch, or between two implementations of WebGPU. */
const LOSS_TOLERANCE = 1e-4;

/** Milliseconds that a test may take which starts another program and compiles all shaders in it. */
export const PATIENCE = 300_000;

/** Milliseconds of one wait in it, which ends before the test does: the message then names what did not come. */
export const WAIT = 150_000;

/** A folder that is removed after the test, or after the file's tests. */
export function temporaryFolder(lifetime: "test" | "file" = "test"): string {
  const folder = mkdtempSync(join(tmpdir(), "webgpu-lora-test-"));
  const end = lifetime === "test" ? onTestFinished : afterAll;
  end(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Puts a build of the package into a folder of its own, so that tests and developers do not disturb each other. */
export async function buildPackage(outdir: string): Promise<void> {
  const built = await builtOnce("package", (kept) => {
    // Outside the repository, whose package.json else says what has side effects.
    execFileSync(process.execPath, ["build.mjs", "--out", outdir], {
      cwd: ROOT,
      stdio: ["ignore", "inherit", "inherit"],
    });
    cpSync(outdir, kept, { recursive: true });
  });
  cpSync(built, outdir, { recursive: true });
}

/** The model whose numbers PyTorch has computed (test/fixtures/make_llama.py). */
export const REFERENCE_MODEL = fixturePath("llama-gqa");
const GOLDEN = readJsonFile<Golden>(REFERENCE_MODEL, "golden.json");
const RUN = GOLDEN.train.A as NonNullable<Golden["train"]["A"]>;
const VOCABULARY = 97;

/** What the suite works on, at the places where a runtime finds it. */
export function smokeInput(at: { readonly fixture: string; readonly model: string }): SmokeInput {
  return {
    model: at.model,
    fixture: {
      at: at.fixture,
      sequences: goldenSequences(GOLDEN),
      prompt: GOLDEN.generate.prompt,
      newTokens: GOLDEN.generate.tokens.length,
      training: {
        batchSize: 3,
        maxSteps: RUN.loss.length,
        learningRate: RUN.peak_lr,
        schedule: RUN.schedule,
        warmupSteps: RUN.warmup_steps,
        weightDecay: RUN.weight_decay,
        maxGradNorm: RUN.max_grad_norm ?? 0,
        shuffle: false,
      },
    },
  };
}

/** The suite in Node, on the test device. */
export async function smokeInNode(): Promise<SmokeReport> {
  const input = smokeInput({ fixture: REFERENCE_MODEL, model: BUNDLED_MODEL });
  return smoke(library, input, await testDevice());
}

/** What has to hold of the suite in every runtime: PyTorch's numbers, and of the bundled model what Node comes to. */
export async function expectSmoke(found: SmokeReport, inNode: SmokeReport): Promise<void> {
  await expectReference(found);
  const { losses, said } = found.learnt;
  expect(losses).toHaveLength(10);
  expect(losses[9]).toBeLessThan(losses[0] as number);
  expect(worst(losses, inNode.learnt.losses)).toBeLessThan(LOSS_TOLERANCE);
  expect(said.loaded).toEqual(said.trained);
  expect(said.trained).not.toEqual(said.before);
  expect(said.before).toEqual(inNode.learnt.said.before);
}

async function expectReference({ measured }: SmokeReport): Promise<void> {
  const [length = 0] = GOLDEN.lengths;
  const logits = (await readTensors(REFERENCE_MODEL, "golden.safetensors")).get("base_logits");
  const { generate } = GOLDEN;
  expect(measured.logits).toHaveLength(length * VOCABULARY);
  expect(worst(measured.logits, logits?.subarray(0, length * VOCABULARY) ?? [])).toBeLessThan(LOSS_TOLERANCE);
  expect(Math.abs(measured.baseLoss - GOLDEN.base_loss)).toBeLessThan(LOSS_TOLERANCE);
  expect(Math.abs(measured.loss - GOLDEN.loss)).toBeLessThan(LOSS_TOLERANCE);
  expect(measured.baseTokens).toEqual(generate.base_tokens);
  expect(measured.tokens).toEqual(generate.tokens);
  expect(measured.losses).toHaveLength(RUN.loss.length);
  expect(worst(measured.losses, RUN.loss)).toBeLessThan(LOSS_TOLERANCE);
  expect(Math.abs(measured.lossAfter - RUN.loss_after)).toBeLessThan(LOSS_TOLERANCE);
  expect(Math.abs(measured.mergedLoss - measured.lossAfter)).toBeLessThan(LOSS_TOLERANCE);
  expect(measured.ggufMagic).toBe("GGUF");
}

/** Largest difference of two lists. */
const worst = (found: ArrayLike<number>, wanted: ArrayLike<number>) =>
  Math.max(...Array.from(found, (value, i) => Math.abs(value - (wanted[i] ?? Number.NaN))));
