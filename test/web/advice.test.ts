import { expect, test } from "vitest";
import { adviceFor } from "../../src/web/page/advice.ts";

const CHROME =
  "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/147.0.0.0 Safari/537.36";
const EDGE = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/147.0.0.0 Safari/537.36 Edg/147.0.0.0";
const SAFARI =
  "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/18.5 Safari/605.1.15";
const FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

const adviceOf = (userAgent: string, isSecure = true) => adviceFor({ userAgent, isSecure }).steps.join("\n");

test("without WebGPU each browser is told its own way", () => {
  expect(adviceOf(CHROME)).toMatch(/chrome:\/\/settings[\s\S]*chrome:\/\/flags/);
  expect(adviceOf(EDGE)).toMatch(/edge:\/\/settings/);
  expect(adviceOf(EDGE)).not.toMatch(/flags|chrome:/);
  expect(adviceOf(SAFARI)).toMatch(/macOS 26/);
  expect(adviceOf(FIREFOX)).toMatch(/about:config/);
  expect(adviceOf("something else")).toMatch(/Chrome, Edge, Safari or Firefox/);
});

test("an insecure address is told before anything else", () => {
  expect(adviceOf(CHROME, false)).toMatch(/https/);
});
