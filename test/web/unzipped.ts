/** Signature of a file's entry in the directory of a zip. */
const ENTRY = 0x02014b50;
/** Length of the end of that directory, where the file has no comment. */
const END_BYTES = 22;

/** The files of a zip without compression, which is how client-zip writes them. */
export function unzipped(zip: Buffer): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  let at = zip.readUInt32LE(zip.length - END_BYTES + 16);
  while (zip.readUInt32LE(at) === ENTRY) {
    const size = zip.readUInt32LE(at + 24);
    const nameLength = zip.readUInt16LE(at + 28);
    const local = zip.readUInt32LE(at + 42);
    const content = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
    files.set(zip.toString("utf8", at + 46, at + 46 + nameLength), zip.subarray(content, content + size));
    at += 46 + nameLength + zip.readUInt16LE(at + 30) + zip.readUInt16LE(at + 32);
  }
  return files;
}
