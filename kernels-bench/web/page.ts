// The benchmark in a browser: a button, progress, the report, and the result as a file.
import { openWebDevice } from "../../src/platform/web-gpu.ts";
import { REGISTRY } from "../cases.ts";
import { STYLE } from "../html.ts";
import { reportBody, reportPage } from "../report.ts";
import { type BenchReport, serializeReport } from "../result.ts";
import { describeResult, runBench } from "../run.ts";

function element<T extends HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no element "${id}"`);
  return found as T;
}

/** Replaced at build time by the version in package.json. */
declare const PACKAGE_VERSION: string;

function addStyle(): void {
  const style = document.createElement("style");
  style.textContent = STYLE;
  document.head.append(style);
}

function listKernels(): void {
  const options = Object.keys(REGISTRY).map((name) => new Option(name, name));
  element<HTMLSelectElement>("kernel").append(...options);
}

/** `Firefox/145.0` of the long text that browsers call themselves by; the last such word but Safari is the browser's own. */
function browserName(agent: string): string {
  const names = agent.match(/\b(Firefox|Edg|OPR|HeadlessChrome|Chrome|Version)\/[\d.]+/g) ?? [];
  return names.at(-1) ?? agent;
}

async function measure(): Promise<BenchReport> {
  const device = await openWebDevice();
  const kernel = element<HTMLSelectElement>("kernel").value;
  const [progress, status] = [element<HTMLProgressElement>("progress"), element("status")];
  try {
    return await runBench(
      device,
      {
        kernels: kernel === "" ? [] : [kernel],
        sizes: [],
        budgetSeconds: Math.max(1, element<HTMLInputElement>("budget").valueAsNumber || 60),
        package: PACKAGE_VERSION,
        runtime: browserName(navigator.userAgent),
      },
      {
        onCase(name, done, total) {
          progress.value = total === 0 ? 0 : done / total;
          status.textContent = `${done} of ${total}: ${name}`;
        },
        onResult(result) {
          status.textContent = describeResult(result);
        },
      },
    );
  } finally {
    device.close();
  }
}

const addresses: string[] = [];

function download(label: string, name: string, type: string, content: string): HTMLAnchorElement {
  const link = document.createElement("a");
  link.className = "button";
  link.textContent = label;
  link.download = name;
  link.href = URL.createObjectURL(new Blob([content], { type }));
  addresses.push(link.href);
  return link;
}

function show(report: BenchReport): void {
  for (const address of addresses.splice(0)) URL.revokeObjectURL(address);
  const { id } = report.device;
  element("downloads").replaceChildren(
    download("Download JSON", `${id}.json`, "application/json", serializeReport(report)),
    download("Download report", `${id}.html`, "text/html", reportPage(report)),
  );
  element("report").innerHTML = reportBody(report);
}

async function onRun(): Promise<void> {
  const [button, busy, error] = [element<HTMLButtonElement>("run"), element("busy"), element("error")];
  button.disabled = true;
  busy.hidden = false;
  error.textContent = "";
  try {
    show(await measure());
  } catch (problem) {
    error.textContent = problem instanceof Error ? problem.message : String(problem);
  } finally {
    button.disabled = false;
    busy.hidden = true;
  }
}

addStyle();
listKernels();
element("settings").addEventListener("submit", (event) => {
  event.preventDefault();
  onRun();
});
