// A process that tries to lock a folder at a given moment: node lock-child.js FOLDER MILLISECONDS [keep|signal|throw|exit]
import { lockFolder } from "../../../src/platform/node-folders/folder-lock.ts";

const [folder = "", moment = "0", then = "keep"] = process.argv.slice(2);
while (Date.now() < Number(moment)); // all at once
try {
  lockFolder(folder);
  process.stdout.write("locked\n");
  if (then === "throw") throw new Error("on purpose");
  if (then === "exit") process.exit(3);
  setInterval(() => {}, 1000);
} catch (error) {
  if (then === "throw") throw error;
  process.stdout.write(`refused: ${(error as Error).message}\n`);
}
