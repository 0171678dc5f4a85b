import { afterEach, expect, test, vi } from "vitest";
import { watchInterrupt } from "../../src/cli/interrupt.ts";

afterEach(() => vi.restoreAllMocks());

test("the first signal is a wish, its echo is ignored, a later one ends the process at once", () => {
  const exit = vi.spyOn(process, "exit").mockReturnValue(undefined as never);
  const clock = vi.spyOn(performance, "now").mockReturnValue(5000);
  const others = process.listeners("SIGINT");
  let asked = 0;
  const interrupt = watchInterrupt(() => asked++);
  const [own] = process.listeners("SIGINT").filter((listener) => !others.includes(listener));
  const at = (milliseconds: number) => {
    clock.mockReturnValue(milliseconds);
    own!("SIGINT");
  };
  expect(interrupt.exitCode).toBeUndefined();
  at(5000);
  at(5900); // npx passes the terminal's signal on
  expect([asked, interrupt.exitCode, exit.mock.calls.length]).toEqual([1, 130, 0]);
  at(6100);
  expect(exit).toHaveBeenCalledWith(130);
  interrupt.release();
  expect(process.listeners("SIGINT")).toEqual(others);
});
