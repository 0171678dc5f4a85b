import type { FilesGiven } from "../../engine/protocol.ts";
import { fail } from "../../util/fail.ts";

/** What the adapter's configuration calls its base. A name without a slash: that would be taken for a hub id. */
const MODEL = "webgpu-lora-demo";
const MODEL_FILES = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];

/** An example that the model has not learnt from. */
export interface HeldOut {
  readonly prompt: string;
  readonly completion: string;
}

/**
 * Fetches the model that comes with the page.
 * @param onProgress told the bytes that are there, and how many there will be
 */
export async function fetchBundledModel(
  onProgress: (bytes: number, of: number) => void,
): Promise<FilesGiven> {
  const responses = await Promise.all(MODEL_FILES.map((name) => fetchFile(`model/${name}`)));
  const lengths = responses.map(({ headers }) => Number(headers.get("content-length")));
  const of = lengths.reduce((sum, length) => sum + length, 0);
  let bytes = 0;
  const files = new Map<string, Blob>();
  for (const [i, response] of responses.entries()) {
    const counted = (response.body as ReadableStream<Uint8Array<ArrayBuffer>>).pipeThrough(
      new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
        transform(piece, controller) {
          bytes += piece.length;
          onProgress(bytes, of);
          controller.enqueue(piece);
        },
      }),
    );
    files.set(MODEL_FILES[i] as string, await new Response(counted).blob());
  }
  return { label: MODEL, files };
}

/** The examples that come with the page, as they are in the file. */
export async function fetchBundledExamples(): Promise<string> {
  return (await fetchFile("examples.jsonl")).text();
}

/** Examples of the same skill that are not among them. */
export async function fetchHeldOut(): Promise<readonly HeldOut[]> {
  const text = await (await fetchFile("held-out.jsonl")).text();
  return text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as HeldOut);
}

async function fetchFile(path: string): Promise<Response> {
  const response = await fetch(new URL(path, document.baseURI));
  if (response.ok && response.body) return response;
  return fail(path, `the server answered ${response.status}`, "serve the whole folder that the build wrote");
}
