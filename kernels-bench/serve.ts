import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { watchInterrupt } from "../src/cli/interrupt.ts";
import type { Terminal } from "../src/cli/terminal.ts";
import { fail } from "../src/util/fail.ts";

/** What the page consists of, beside this bundle. */
const FILES: Readonly<Record<string, { path: string; type: string }>> = {
  "/": { path: "bench/index.html", type: "text/html; charset=utf-8" },
  "/page.js": { path: "bench/page.js", type: "text/javascript; charset=utf-8" },
};

/** Serves the page on this machine alone until Ctrl-C. WebGPU needs a secure page, which localhost is. */
export async function servePage(port: number, terminal: Terminal): Promise<number> {
  const server = createServer(async (request, response) => {
    const file = FILES[(request.url ?? "/").split("?")[0] as string];
    if (!file) {
      response.writeHead(404).end();
      return;
    }
    const content = await readFile(new URL(file.path, import.meta.url)).catch(() => undefined);
    if (content) response.writeHead(200, { "content-type": file.type }).end(content);
    else response.writeHead(500).end(`${file.path} is missing: build it with node build.mjs`);
  });
  await listen(server, port);
  terminal.print(`open http://localhost:${(server.address() as AddressInfo).port} (Ctrl-C ends)`);
  return new Promise((resolve) => {
    const interrupt = watchInterrupt(() => {
      server.close();
      server.closeAllConnections();
      resolve(0);
      interrupt.release();
    });
  });
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("listening", resolve);
    server.once("error", ({ message }) => {
      try {
        fail("bench", `port ${port} cannot be served: ${message}`, "--port 0 takes a free one");
      } catch (error) {
        reject(error);
      }
    });
    server.listen(port, "127.0.0.1");
  });
}
