// Folders that the user chose, by their handles: IndexedDB alone keeps these over a reload.

const DATABASE = "webgpu-lora";
const STORE = "folders";

/** Remembers a folder by its name; where the browser cannot, it is asked for again. */
export async function rememberFolder(handle: FileSystemDirectoryHandle): Promise<void> {
  await inStore("readwrite", (store) => store.put(handle, handle.name)).catch(() => undefined);
}

/** The folder that was remembered by this name, or undefined. */
export async function recallFolder(name: string): Promise<FileSystemDirectoryHandle | undefined> {
  const found = await inStore("readonly", (store) => store.get(name)).catch(() => undefined);
  return found instanceof FileSystemDirectoryHandle ? found : undefined;
}

/** Whether a folder may be read without asking the user, which needs a press of a button. */
export async function mayRead(handle: FileSystemDirectoryHandle): Promise<boolean> {
  return (await (handle as Asking).queryPermission?.({ mode: "read" })) === "granted";
}

/** Asks the user to let a folder be read again. */
export async function askToRead(handle: FileSystemDirectoryHandle): Promise<boolean> {
  return (await (handle as Asking).requestPermission?.({ mode: "read" })) === "granted";
}

/** What Chromium adds. */
interface Asking extends FileSystemDirectoryHandle {
  queryPermission?(how: { mode: "read" }): Promise<PermissionState>;
  requestPermission?(how: { mode: "read" }): Promise<PermissionState>;
}

function inStore(mode: IDBTransactionMode, ask: (store: IDBObjectStore) => IDBRequest): Promise<unknown> {
  return new Promise((answer, failed) => {
    const opening = indexedDB.open(DATABASE, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
    opening.onerror = () => failed(opening.error);
    opening.onsuccess = () => {
      const request = ask(opening.result.transaction(STORE, mode).objectStore(STORE));
      request.onerror = () => failed(request.error);
      request.onsuccess = () => {
        answer(request.result);
        opening.result.close();
      };
    };
  });
}
