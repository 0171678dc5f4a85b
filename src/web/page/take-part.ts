// Part 5: what was learnt, in one file to take away.
import { messageOf } from "../../util/fail.ts";
import { attempt, byId, enable, note, say } from "./dom.ts";
import type { CurvePoint } from "./kept-run.ts";
import type { Learnt, Session } from "./session.ts";

const FILE_NAME = "adapter.zip";
/** Most rows of losses in the model card. */
const CARD_ROWS = 20;
/** Until then the browser has begun to write the file. */
const RELEASE_MILLISECONDS = 60_000;

/** Other programs' files of the adapter, each in a folder of its own. */
const EXPORTS = [
  { folder: "gguf", options: { to: "gguf", ollamaFrom: "./base.gguf" } },
  { folder: "mlx", options: { to: "mlx" } },
] as const;

/** What turns the adapter into a file, loaded when there is one, so that it is there where the network is not. */
const loadTools = () => Promise.all([import("client-zip"), import("./run-report.ts")]);

/** Offers the adapter as PEFT's files with all that belongs to it. */
export class TakePart {
  readonly #session: Session;
  #learnt: Learnt | undefined;
  #tools: ReturnType<typeof loadTools> | undefined;

  constructor(session: Session) {
    this.#session = session;
    byId("download", HTMLButtonElement).addEventListener("click", () =>
      attempt("take-error", () => this.#download()),
    );
  }

  /** The adapter that is offered from now on; none before anything was learnt. */
  use(learnt: Learnt | undefined): void {
    this.#learnt = learnt;
    enable("download", learnt !== undefined);
    if (learnt) this.#load().catch(() => {}); // asked again, and told, where it is needed
  }

  #load(): ReturnType<typeof loadTools> {
    this.#tools ??= loadTools().catch((error) => {
      this.#tools = undefined;
      throw error;
    });
    return this.#tools;
  }

  async #download(): Promise<void> {
    if (!this.#learnt) return;
    say("take-status", "Packing …");
    const [{ downloadZip }, { runConfig, runReport }] = await this.#load();
    const { told } = this.#learnt;
    const files = new Map<string, Blob | string>(await this.#peftFiles(this.#learnt));
    if (told) {
      files.set("report.html", runReport(told));
      files.set("run.yaml", runConfig(told));
    }
    const missing = await this.#addExports(files, this.#learnt);
    const zip = await downloadZip([...files].map(([name, input]) => ({ name, input }))).blob();
    const link = document.createElement("a");
    link.href = URL.createObjectURL(zip);
    link.download = FILE_NAME;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), RELEASE_MILLISECONDS);
    say("take-status", `${FILE_NAME}, ${(zip.size / 1000).toFixed(0)} kB: ${[...files.keys()].join(", ")}`);
    note("take-note", missing.join("\n"));
  }

  #peftFiles({ adapter, told }: Learnt): Promise<ReadonlyMap<string, Blob>> {
    if (!told) return this.#session.engine.adapterFiles(adapter);
    return this.#session.engine.adapterFiles(adapter, {
      card: {
        settings: told.settings,
        data: [{ name: told.data, counts: {} }],
        losses: meanLosses(told.curve),
        versions: { device: told.device },
      },
    });
  }

  /** Adds what other programs read; returns why some of it is not there: not every method has a place in every format. */
  async #addExports(files: Map<string, Blob | string>, { adapter }: Learnt): Promise<string[]> {
    const missing: string[] = [];
    for (const { folder, options } of EXPORTS) {
      try {
        const made = await this.#session.engine.convertAdapter(adapter, options);
        for (const [name, content] of made) files.set(`${folder}/${name}`, content);
      } catch (error) {
        missing.push(`The zip has no ${folder} folder. ${messageOf(error)}`);
      }
    }
    return missing;
  }
}

/** Means of a few stretches of the curve, for the table of the model card. */
function meanLosses(curve: readonly CurvePoint[]) {
  const length = Math.ceil(curve.length / CARD_ROWS);
  const stretches = Array.from({ length: Math.ceil(curve.length / length) }, (_, i) =>
    curve.slice(i * length, (i + 1) * length),
  );
  return stretches.map((points) => ({
    step: (points.at(-1) as CurvePoint)[0],
    train: points.reduce((sum, [, loss]) => sum + loss, 0) / points.length,
  }));
}
