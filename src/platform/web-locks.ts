/**
 * Keeps other tabs of this site from a folder in its storage, until this tab is closed or leaves it (Web Locks).
 * @returns what leaves it; undefined where another tab, or another run of this one, has it
 */
export function claimFolder(folder: string): Promise<(() => void) | undefined> {
  return new Promise((answer, failed) => {
    const name = `webgpu-lora/${folder}`;
    navigator.locks
      .request(name, { ifAvailable: true }, (lock) => {
        if (!lock) return answer(undefined);
        return new Promise<void>((leave) => answer(leave));
      })
      .catch(failed);
  });
}
