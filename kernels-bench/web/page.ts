// The benchmark in a browser: a button, progress, the report beside the last one, and the result as a file.
import { LoraError, messageOf } from "../../src/util/fail.ts";
import { ignoreStrayClicks } from "../../src/web/page/dom.ts";
import { REGISTRY } from "../cases.ts";
import { REPORT_STYLE } from "../html.ts";
import { reportBody, reportPage } from "../report.ts";
import { type BenchReport, parseReport, serializeReport } from "../result.ts";
import type { BenchNews, BenchRequest } from "./worker.ts";

function element<T extends HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no element "${id}"`);
  return found as T;
}

/** Replaced at build time by the version in package.json. */
declare const PACKAGE_VERSION: string;

/** Where the last result is kept. */
const KEPT = "webgpu-lora/bench/1";

/** The report's style, as a sheet that a strict policy allows. */
function addStyle(): void {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(REPORT_STYLE);
  document.adoptedStyleSheets = [sheet];
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

/** Measures in a worker of its own. @throws LoraError as the benchmark does */
async function measure(): Promise<BenchReport> {
  const kernel = element<HTMLSelectElement>("kernel").value;
  const [progress, status] = [element<HTMLProgressElement>("progress"), element("status")];
  const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  const tell = (request: BenchRequest) => worker.postMessage(request);
  const stop = () => {
    tell("stop");
    status.textContent = "Stopping after the kernel that runs …";
  };
  element("stop").addEventListener("click", stop);
  try {
    const text = await new Promise<string>((resolve, reject) => {
      worker.onerror = ({ message }) =>
        reject(new LoraError("input", "bench", message || "its program did not load", "load the page again"));
      worker.onmessage = ({ data }: MessageEvent<BenchNews>) => {
        if ("report" in data) resolve(data.report);
        else if ("error" in data) reject(new Error(data.error));
        else {
          status.textContent = data.line;
          progress.value = data.done ?? progress.value;
        }
      };
      tell({
        kernels: kernel === "" ? [] : [kernel],
        sizes: [],
        budgetSeconds: element<HTMLInputElement>("budget").valueAsNumber, // the form checks its bounds
        package: PACKAGE_VERSION,
        runtime: browserName(navigator.userAgent),
      });
    });
    return parseReport(text, "the benchmark");
  } finally {
    element("stop").removeEventListener("click", stop);
    worker.terminate();
  }
}

/** The last result, if this browser has one that can be read. */
function lastReport(): BenchReport | undefined {
  try {
    const text = localStorage.getItem(KEPT);
    return text === null ? undefined : parseReport(text, "the last result");
  } catch {
    return undefined; // of another version, or there is no storage
  }
}

/** Keeps a result; returns why it cannot be compared with later on, if that is so. */
function keep(report: BenchReport): string {
  try {
    localStorage.setItem(KEPT, serializeReport(report));
    return "";
  } catch (error) {
    return `This result is not kept, so that the next one cannot be compared with it: ${messageOf(error)}`;
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

function show(report: BenchReport, before?: BenchReport): void {
  for (const address of addresses.splice(0)) URL.revokeObjectURL(address);
  const { id } = report.device;
  element("downloads").replaceChildren(
    download("Download JSON", `${id}.json`, "application/json", serializeReport(report)),
    download("Download report", `${id}.html`, "text/html", reportPage(report, before)),
  );
  element("report").innerHTML = reportBody(report, before);
}

async function onRun(): Promise<void> {
  const error = element("error");
  showBusy(true);
  error.textContent = "";
  try {
    const before = lastReport();
    const report = await measure();
    show(report, before);
    error.textContent = keep(report);
  } catch (problem) {
    error.textContent = messageOf(problem);
  } finally {
    showBusy(false);
  }
}

/** Puts the button to stop in the place of the one to begin, with the focus of who has no mouse. */
function showBusy(on: boolean): void {
  const [run, stop] = [element<HTMLButtonElement>("run"), element<HTMLButtonElement>("stop")];
  const hadFocus = [run, stop].includes(document.activeElement as HTMLButtonElement);
  run.hidden = on;
  stop.hidden = !on;
  element("busy").hidden = !on;
  element<HTMLFieldSetElement>("choices").disabled = on;
  if (on) element<HTMLProgressElement>("progress").value = 0;
  if (hadFocus) (on ? stop : run).focus();
}

ignoreStrayClicks();
addStyle();
listKernels();
const last = lastReport();
if (last) show(last);
element("settings").addEventListener("submit", (event) => {
  event.preventDefault();
  onRun();
});
