// Adds up vitest's JSON reports and prints one line; exits with 1 where a test failed or a report is missing.
import { existsSync, readFileSync } from "node:fs";

const total = { passed: 0, failed: 0, skipped: 0 };
for (const path of process.argv.slice(2)) add(existsSync(path) && JSON.parse(readFileSync(path, "utf8")));

function add(report) {
  if (!report) {
    total.failed++; // the run itself broke down
    return;
  }
  total.passed += report.numPassedTests;
  total.failed += report.numFailedTests + report.testResults.filter(brokeDown).length;
  total.skipped += report.numPendingTests + report.numTodoTests;
}

/** A file that failed although none of its tests did: it could not be loaded. */
function brokeDown({ status, assertionResults }) {
  return status === "failed" && !assertionResults.some((test) => test.status === "failed");
}

const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : "";
console.log(`${total.passed} passed, ${total.failed} failed${skipped}`);
process.exitCode = total.failed > 0 ? 1 : 0;
