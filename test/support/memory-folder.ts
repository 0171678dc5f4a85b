/**
 * The part of the File System API that the library uses, in memory. As in a browser, a new file is there, empty, as soon as
 * its handle is, a write shows when it is closed, and a file that is being written cannot be removed.
 */
export class MemoryFolder {
  readonly children = new Map<string, MemoryFolder | MemoryFile>();
  readonly kind = "directory";
  readonly name: string;
  readonly quota: number;

  /** @param quota the most bytes of a file */
  constructor(quota = Number.POSITIVE_INFINITY, name = "") {
    this.quota = quota;
    this.name = name;
  }

  async getDirectoryHandle(name: string, { create = false } = {}): Promise<MemoryFolder> {
    if (!create && !this.children.has(name)) throw new DOMException("", "NotFoundError");
    const child = this.children.get(name) ?? new MemoryFolder(this.quota, name);
    if (!(child instanceof MemoryFolder)) throw new DOMException("", "TypeMismatchError");
    this.children.set(name, child);
    return child;
  }

  async getFileHandle(name: string, { create = false } = {}): Promise<MemoryFile> {
    if (!create && !this.children.has(name)) throw new DOMException("", "NotFoundError");
    const child = this.children.get(name) ?? new MemoryFile(name, this.quota);
    if (!(child instanceof MemoryFile)) throw new DOMException("", "TypeMismatchError");
    this.children.set(name, child);
    return child;
  }

  async removeEntry(name: string): Promise<void> {
    const child = this.children.get(name);
    if (!child) throw new DOMException("", "NotFoundError");
    if (child instanceof MemoryFile && child.writers > 0)
      throw new DOMException("", "NoModificationAllowedError");
    this.children.delete(name);
  }

  async *values() {
    yield* this.children.values();
  }

  /** The same as the library takes it. */
  get handle(): FileSystemDirectoryHandle {
    return this as unknown as FileSystemDirectoryHandle;
  }

  /** Names of files with `/`, and their texts. */
  get texts(): Record<string, string> {
    const entries = [...this.children].flatMap(([name, child]): [string, string][] =>
      child instanceof MemoryFile
        ? [[name, new TextDecoder().decode(child.bytes)]]
        : Object.entries(child.texts).map(([inner, text]) => [`${name}/${inner}`, text]),
    );
    return Object.fromEntries(entries);
  }
}

let clock = 0;

class MemoryFile {
  readonly kind = "file";
  bytes = new Uint8Array(0);
  lastModified = 0;
  writers = 0;
  readonly name: string;
  readonly quota: number;

  constructor(name: string, quota: number) {
    this.name = name;
    this.quota = quota;
  }

  async getFile() {
    const blob = new Blob([this.bytes]);
    return Object.assign(blob, { name: this.name, lastModified: this.lastModified });
  }

  async createWritable() {
    let written = new Uint8Array(0);
    this.writers++;
    return {
      write: async (content: Uint8Array<ArrayBuffer> | string) => {
        const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
        const grown = new Uint8Array(written.length + bytes.length);
        grown.set(written);
        grown.set(bytes, written.length);
        if (grown.length > this.quota) throw new DOMException("", "QuotaExceededError");
        written = grown;
      },
      close: async () => {
        this.writers--;
        this.bytes = written;
        this.lastModified = ++clock;
      },
      abort: async () => {
        this.writers--;
      },
    };
  }
}
