/** The npm package ships no types. It reads files without `__metadata__` from a buffer of their own. */
declare module "safetensors" {
  export class SafeTensor {
    constructor(file: Uint8Array<ArrayBuffer>);
    getTensor(name: string): Uint8Array;
  }
}
