/** A module that is loaded when it is needed, and is there from then on. */
export interface Late<T> {
  load(): Promise<T>;
  /** Whether it is there. */
  isLoaded(): boolean;
  /** @throws Error where it was not loaded before: a mistake of this program */
  loaded(): T;
}

/** @param load such as `() => import("./rare.ts")`, so that bundlers make a file of its own of it */
export function late<T>(load: () => Promise<T>): Late<T> {
  let found: T | undefined;
  return {
    async load() {
      found ??= await load();
      return found;
    },
    isLoaded: () => found !== undefined,
    loaded() {
      if (found === undefined) throw new Error("used before it is loaded: a bug");
      return found;
    },
  };
}
