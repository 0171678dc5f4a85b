/** How long a page that was just closed or loaded anew may take to leave what it had, ms: its worker is ended after two seconds. */
const LEAVING_MILLISECONDS = 3000;

/**
 * Keeps other tabs of this site from a folder in its storage, until this tab is closed or leaves it (Web Locks). One that
 * is just being left is waited for.
 * @returns what leaves it; undefined where another tab, or another run of this one, has it and keeps it
 */
export function claimFolder(folder: string): Promise<(() => void) | undefined> {
  return new Promise((answer, failed) => {
    const name = `webgpu-lora/${folder}`;
    navigator.locks
      .request(
        name,
        { signal: AbortSignal.timeout(LEAVING_MILLISECONDS) },
        () => new Promise<void>((leave) => answer(leave)),
      )
      .catch((error) => (isTimeout(error) ? answer(undefined) : failed(error)));
  });
}

const isTimeout = (error: unknown) => error instanceof DOMException && error.name === "TimeoutError";
