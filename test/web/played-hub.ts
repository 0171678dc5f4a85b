import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { BrowserContext, Route } from "playwright-core";
import { gitBlobId } from "../io/files/hub-server.ts";

/** A request that the hub was asked. */
export interface Asked {
  readonly path: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
}

/** The hub, as its pages and files answer a browser. */
export interface PlayedHub {
  readonly asked: Asked[];
  /** Bytes of a file that come before nothing more does; all of them unless given. */
  stopsAfter: number | undefined;
}

const HEADERS = { "access-control-allow-origin": "*", "access-control-expose-headers": "*" };
/** Who may have the files of the gated repository. */
export const TOKEN = "hf_token";

/** What a repository holds. */
type Files = ReadonlyMap<string, Buffer>;

/** The files of a folder. */
export const filesIn = (folder: string): Files =>
  new Map(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name))]));

/** How the hub lists them. */
const siblingsOf = (files: Files) =>
  [...files].map(([rfilename, bytes]) => ({
    ...{ rfilename, size: bytes.length, blobId: gitBlobId(bytes) },
    ...(/\.(?:safetensors|gguf)$/.test(rfilename) && {
      lfs: { sha256: createHash("sha256").update(bytes).digest("hex") },
    }),
  }));

/**
 * Plays the hub for the pages of a context, at its own address, so that their policy is the real one: `acme/open` and
 * `acme/gated`, which have the same files, and `acme/gguf`.
 */
export async function playHub(
  context: BrowserContext,
  model: Files,
  gguf: Files = new Map(),
): Promise<PlayedHub> {
  const hub: PlayedHub = { asked: [], stopsAfter: undefined };
  await context.route("https://huggingface.co/**", async (route) => {
    const path = new URL(route.request().url()).pathname;
    const { range, authorization } = await route.request().allHeaders();
    hub.asked.push({ path, range, authorization });
    const name = /^\/(?:api\/models\/)?acme\/(open|gated|gguf)\//.exec(path)?.[1];
    if (name === undefined) return route.fulfill({ status: 401, headers: HEADERS });
    const files = name === "gguf" ? gguf : model;
    if (path.startsWith("/api/")) {
      const json = { gated: name === "gated" && "manual", siblings: siblingsOf(files) };
      return route.fulfill({ headers: HEADERS, json });
    }
    if (name === "gated" && authorization !== `Bearer ${TOKEN}`)
      return route.fulfill({ status: 401, headers: HEADERS });
    const file = /\/resolve\/main\/(.+)$/.exec(path)?.[1] ?? "";
    return sendPart(hub, route, { bytes: files.get(file), range });
  });
  return hub;
}

function sendPart(
  hub: PlayedHub,
  route: Route,
  { bytes, range }: { readonly bytes: Buffer | undefined; readonly range: string | undefined },
): Promise<void> | undefined {
  if (!bytes) return route.fulfill({ status: 404, headers: HEADERS });
  const [start = 0, last = bytes.length - 1] = (range?.match(/\d+/g) ?? []).map(Number);
  const end = Math.min(last + 1, bytes.length);
  const most = hub.stopsAfter ?? Number.POSITIVE_INFINITY;
  if (start >= most) return undefined; // no answer
  const headers = {
    ...{ ...HEADERS, etag: `"${gitBlobId(bytes)}"` },
    ...(range !== undefined && { "content-range": `bytes ${start}-${end - 1}/${bytes.length}` }),
  };
  return route.fulfill({
    status: range === undefined ? 200 : 206,
    headers,
    body: bytes.subarray(start, Math.min(end, most)),
  });
}
