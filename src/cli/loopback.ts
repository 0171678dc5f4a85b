import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { fail } from "../util/fail.ts";
import { watchInterrupt } from "./interrupt.ts";
import type { Terminal } from "./terminal.ts";

/**
 * Serves a page on this machine alone until Ctrl-C. WebGPU needs a secure page, which localhost is.
 * @param where the command, for messages
 * @param port 0 takes a free one
 * @returns the exit code
 * @throws LoraError where the port cannot be served
 */
export async function serveOnLoopback(
  where: string,
  port: number,
  answer: RequestListener,
  terminal: Terminal,
): Promise<number> {
  const server = createServer(answer);
  await listen(server, port).catch(({ message }: Error) =>
    fail(where, `port ${port} cannot be served: ${message}`, "--port 0 takes a free one"),
  );
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
    server.once("error", reject);
    server.listen(port, "127.0.0.1");
  });
}
