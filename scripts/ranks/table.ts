// The table of docs/scaling.md: what a step of so many machines takes, by a ring of all (Gloo's): each sends and receives
// 2 · (n − 1) / n of the adapter's bytes in 2 · (n − 1) turns.
//   node build.mjs --run scripts/ranks/table.ts
const MACHINES = [1, 2, 4, 8, 16, 32, 64];
/** Name, bits a second, seconds a turn. */
const LINES = [
  ["10 Gbit/s, one room", 10e9, 1e-4],
  ["1 Gbit/s, one building", 1e9, 3e-4],
  ["100 Mbit/s, over the Internet", 1e8, 2e-2],
] as const;
const ADAPTERS = [1, 18, 84]; // MB
/** What a machine computes between two exchanges. */
const STEP_SECONDS = 1;
const LOCAL_STEPS = 50;

/** Seconds of an exchange. */
function exchange(machines: number, megabytes: number, bits: number, turn: number): number {
  const turns = 2 * (machines - 1);
  return (turns / machines) * ((megabytes * 8e6) / bits) + turns * turn;
}

const percent = (share: number) => `${Math.round(100 * share)} %`;

console.log(`| line | adapter | ${MACHINES.map((n) => `${n}`).join(" | ")} | 64, local steps |`);
console.log(`|---|---|${"---|".repeat(MACHINES.length + 1)}`);
for (const [line, bits, turn] of LINES) {
  for (const megabytes of ADAPTERS) {
    const cells = MACHINES.map((n) => {
      const seconds = exchange(n, megabytes, bits, turn);
      return `${(STEP_SECONDS + seconds).toFixed(2)} s, ${percent(STEP_SECONDS / (STEP_SECONDS + seconds))}`;
    });
    const local = exchange(64, megabytes, bits, turn) / LOCAL_STEPS;
    const efficiency = percent(STEP_SECONDS / (STEP_SECONDS + local));
    console.log(`| ${line} | ${megabytes} MB | ${cells.join(" | ")} | ${efficiency} |`);
  }
}
