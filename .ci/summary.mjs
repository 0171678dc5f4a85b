// Adds up vitest's JSON reports: names each test that failed, then prints one line; exits with 1 where a test failed or a
// report is missing. The names come last, so that they are in view where only a log's end is kept.
import { existsSync, readFileSync } from "node:fs";

const total = { passed: 0, failed: 0, skipped: 0 };
for (const path of process.argv.slice(2)) {
  if (existsSync(path)) add(JSON.parse(readFileSync(path, "utf8")));
  else fail(`${path}: the run wrote no report`);
}

function add({ numPassedTests, numPendingTests, numTodoTests, testResults }) {
  total.passed += numPassedTests;
  total.skipped += numPendingTests + numTodoTests;
  for (const file of testResults) {
    const failed = file.assertionResults.filter((test) => test.status === "failed");
    for (const test of failed) fail(`${file.name} > ${test.fullName}`, test.failureMessages.join("\n"));
    // A file that could not be loaded has failed although none of its tests did.
    if (file.status === "failed" && failed.length === 0) fail(file.name, file.message);
  }
}

function fail(name, message = "") {
  total.failed++;
  console.log(`FAILED ${name}\n${message.slice(0, 2000)}`);
}

const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : "";
console.log(`${total.passed} passed, ${total.failed} failed${skipped}`);
process.exitCode = total.failed > 0 ? 1 : 0;
