// Draws models, methods, precisions and training options together, and trains each drawn combination a few steps:
//   node build.mjs --run scripts/combinations.ts [--count N] [--seconds N] [--seed N] [--only TEXT]
// A combination is refused by an error with a remedy, or it holds what every run promises; see docs/fuzzing.md.
import { parseArgs } from "node:util";
import { LoraError } from "../src/index.node.ts";
import { testDevice } from "../test/support/device.ts";
import { type Drawn, draw } from "./combinations/draw.ts";
import { tryOut } from "./combinations/try-out.ts";

const { values } = parseArgs({
  options: {
    count: { type: "string", default: "1000000" },
    seconds: { type: "string", default: "60" },
    seed: { type: "string", default: "1" },
    only: { type: "string", default: "" },
  },
});
const device = await testDevice();
const end = performance.now() + 1000 * Number(values.seconds);
const refusals = new Map<string, number>();
const broken = new Map<string, string>();
let held = 0;
let seed = Number(values.seed);
for (let tried = 0; tried < Number(values.count) && performance.now() < end; tried++, seed++) {
  const drawn = draw(seed);
  if (!JSON.stringify(drawn).includes(values.only)) continue;
  try {
    const broke = await tryOut(device, drawn);
    if (broke.length === 0) held++;
    for (const what of broke) report(drawn, what);
  } catch (error) {
    if (error instanceof LoraError && error.message.includes("→"))
      refusals.set(error.message, (refusals.get(error.message) ?? 0) + 1);
    else report(drawn, (error as Error).stack ?? String(error));
  }
}
for (const [refusal, times] of refusals) console.log(`refused ${times} times: ${refusal}`);
console.log(`seeds ${values.seed} to ${seed - 1}: ${held} held, ${broken.size} kinds of fault`);
process.exit(broken.size > 0 ? 1 : 0);

/** A fault of one kind is shown once. */
function report(drawn: Drawn, what: string): void {
  const kind = what.replaceAll(/[\d.e+-]+/g, "#");
  if (broken.has(kind)) return;
  broken.set(kind, what);
  console.log(`seed ${seed}: ${JSON.stringify(drawn)}\n    ${what}`);
}
