import { type FileContent, type FileSource, memoryFiles } from "../../src/io/files/files.ts";
import { DTYPE_BYTES } from "../../src/io/formats/safetensors.ts";
import { type TensorEntry, writeSafetensors } from "../../src/io/formats/safetensors-writer.ts";

const CONFIG = "adapter_config.json";
const WEIGHTS = "adapter_model.safetensors";
const PREFIX = "base_model.model.";

/** The tensors of a whole file in memory, in the order of their names. */
function entriesOf(bytes: Uint8Array): TensorEntry[] {
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length))) as Record<
    string,
    { dtype: keyof typeof DTYPE_BYTES; shape: number[]; data_offsets: [number, number] }
  >;
  const tensors = Object.entries(header).filter(([name]) => name !== "__metadata__");
  return tensors
    .map(
      ([
        name,
        {
          dtype,
          shape,
          data_offsets: [begin, end],
        },
      ]) => ({
        ...{ name, dtype, shape },
        data: bytes.slice(8 + length + begin, 8 + length + end),
      }),
    )
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The names of an adapter's tensors, sorted. */
export function tensorNames(files: ReadonlyMap<string, FileContent>): string[] {
  return entriesOf(files.get(WEIGHTS) as Uint8Array).map(({ name }) => name);
}

/** What {@link editedAdapter} changes. */
export interface AdapterEdit {
  /** Fields of the configuration. */
  config?: object;
  /** Which tensors stay. */
  tensors?: (name: string) => boolean;
  /** Other values and types for tensors. */
  change?: (entry: TensorEntry) => TensorEntry;
  /** Shapes of f32 tensors to add, by their names in the model. */
  add?: Readonly<Record<string, readonly number[]>>;
}

/** The files of an adapter as a source, with changes. */
export function editedAdapter(
  files: ReadonlyMap<string, FileContent>,
  { config = {}, tensors = () => true, change = (entry) => entry, add = {} }: AdapterEdit = {},
): FileSource {
  const kept = entriesOf(files.get(WEIGHTS) as Uint8Array).filter(({ name }) => tensors(name));
  const added = Object.entries(add).map(([name, shape]): TensorEntry => {
    const count = shape.reduce((product, size) => product * size, 1);
    return { name: PREFIX + name, dtype: "F32", shape, data: new Uint8Array(count * DTYPE_BYTES.F32) };
  });
  const json = { ...JSON.parse(files.get(CONFIG) as string), ...config } as object;
  return memoryFiles(
    "edited",
    new Map([
      [CONFIG, new TextEncoder().encode(JSON.stringify(json))],
      [WEIGHTS, writeSafetensors([...kept.map(change), ...added], { format: "pt" })],
    ]),
  );
}
