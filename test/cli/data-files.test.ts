import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import {
  findTables,
  findTestTable,
  type ReadSettings,
  readTable,
  splitRows,
} from "../../src/cli/data-files.ts";
import { findImageFolders, findTestImages, listImages } from "../../src/cli/image-folders.ts";
import { EXAMPLE_READER } from "../../src/data/rows/examples.ts";
import { labelledTextReader } from "../../src/data/rows/labelled.ts";

const root = mkdtempSync(join(tmpdir(), "webgpu-lora-data-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let folder = "";
let count = 0;
beforeEach(() => {
  folder = join(root, String(count++));
  mkdirSync(folder);
});

function write(...names: string[]): void {
  for (const name of names) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), "");
  }
}

describe("tables", () => {
  test("train, and valid by any of its names; test or valid to evaluate on", async () => {
    write("train.csv", "dev.tsv", "validation.jsonl", "notes.txt");
    expect(await findTables(folder)).toEqual({
      train: join(folder, "train.csv"),
      valid: join(folder, "validation.jsonl"),
    });
    expect(await findTestTable(folder)).toBe(join(folder, "validation.jsonl"));
    write("Test.JSON");
    expect(await findTestTable(folder)).toBe(join(folder, "Test.JSON"));
    expect((await findTables(join(folder, "train.csv"), folder)).valid).toBe(join(folder, "Test.JSON"));
  });

  test("hidden files are none, and two of one name are not chosen from", async () => {
    write(".train.jsonl", "._train.jsonl", "rows.parquet");
    await expect(findTables(folder)).rejects.toThrow(
      /has no train\.jsonl; it holds rows\.parquet\n.*\.csv, \.tsv/,
    );
    write("train.jsonl", "train.csv");
    await expect(findTables(folder)).rejects.toThrow(/has train\.csv and train\.jsonl\n.*give the path/);
    await expect(findTables(join(folder, "none"))).rejects.toThrow(/none is not there/);
  });

  test("the ending says what a file is: every task reads every kind", async () => {
    const path = (name: string, text: string) => {
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    };
    const rows = [{ prompt: "a", completion: "b" }];
    expect((await readTable(path("a.csv", "prompt,completion\r\na,b"), EXAMPLE_READER)).rows).toEqual(rows);
    expect((await readTable(path("a.TSV", "prompt\tcompletion\na\tb\n"), EXAMPLE_READER)).rows).toEqual(rows);
    expect(
      (await readTable(path("a.ndjson", '{"prompt":"a","completion":"b"}'), EXAMPLE_READER)).rows,
    ).toEqual(rows);
    await expect(readTable(path("b.csv", "text,lable\na,b\n"), labelledTextReader())).rejects.toThrow(
      /b\.csv:2: has no "label", but "text", "lable"; is "lable" meant\?/,
    );
    await expect(readTable(path("c.csv", "text,label\n"), labelledTextReader())).rejects.toThrow(
      /c\.csv: has no rows/,
    );
  });
});

describe("how tables are read", () => {
  const write = (rows: readonly unknown[]) => {
    const path = join(folder, "a.jsonl");
    writeFileSync(path, rows.map((row) => (typeof row === "string" ? row : JSON.stringify(row))).join("\n"));
    return path;
  };
  const read = (path: string, settings: Partial<ReadSettings> = {}) =>
    readTable(path, EXAMPLE_READER, { columns: {}, on_bad_row: "error", header: true, ...settings });

  test("a table without a line that names the columns has them by number", async () => {
    const path = join(folder, "a.tsv");
    writeFileSync(path, "\uFEFFa\tb\n\nc\td\ne\n");
    const columns = { prompt: "0", completion: "1" };
    await expect(read(path, { header: false })).rejects.toThrow(
      /header: [\s\S]* say which is what[\s\S]*text=0/,
    );
    await expect(read(path, { header: false, columns })).rejects.toThrow(
      /a\.tsv:4: has 1 cells, the first line has 2/,
    );
    const { rows, nameOf } = await read(path, { header: false, columns, on_bad_row: "skip" });
    expect(rows).toEqual([
      { prompt: "a", completion: "b" },
      { prompt: "c", completion: "d" },
    ]);
    expect([0, 1].map(nameOf)).toEqual([`${path}:1`, `${path}:3`]);
    await expect(read(write([{ prompt: "a" }]), { header: false, columns })).rejects.toThrow(
      /a\.jsonl: is no table whose first line could name [\s\S]*leave out --no-header/,
    );
  });

  test("columns may have other names, also each other's", async () => {
    const path = write([
      { question: "a", answer: "b", text: "c" },
      { question: "d", answer: "e", text: "f" },
    ]);
    const columns = { prompt: "question", completion: "answer" };
    await expect(read(path, { columns })).rejects.toThrow(/has keys "text", "prompt", "completion"/);
    expect((await read(path, { columns: { text: "question" } })).rows).toEqual([
      { text: "a" },
      { text: "d" },
    ]);
    await expect(read(path, { columns: { prompt: "querstion", completion: "answer" } })).rejects.toThrow(
      /a\.jsonl:1: has no "querstion", but .*is "question" meant\?/,
    );
    const swapped = write([{ prompt: "a", completion: "b" }]);
    expect((await read(swapped, { columns: { prompt: "completion", completion: "prompt" } })).rows).toEqual([
      { prompt: "b", completion: "a" },
    ]);
  });

  test("bad rows are left out and told where that is wanted, unless all are bad", async () => {
    const path = write([{ text: "a" }, "{bad", { text: 1 }, { text: "b" }, ...Array(6).fill({})]);
    const { rows, notes, nameOf } = await read(path, { on_bad_row: "skip" });
    expect(rows).toEqual([{ text: "a" }, { text: "b" }]);
    expect(nameOf(1)).toBe(`${path}:4`);
    expect(notes?.slice(0, 3)).toEqual([
      "  8 bad rows left out:",
      expect.stringContaining("a.jsonl:2: "),
      expect.stringContaining('a.jsonl:3: "text" is 1'),
    ]);
    expect(notes?.slice(5)).toEqual([expect.stringContaining("a.jsonl:7: has no keys"), "    and 3 more"]);
    await expect(read(path)).rejects.toThrow("8 problems");
    await expect(read(write([{}, {}]), { on_bad_row: "skip" })).rejects.toThrow("2 problems");
  });

  test("rows are held out by what they hold, in their order and with their names", async () => {
    const rows = Array.from({ length: 4000 }, (_, i) => ({ text: `row ${i % 2000}` }));
    const [train, held] = splitRows(await read(write(rows)), 0.05);
    expect(held.rows.length).toBeGreaterThan(120); // 200 ± 4 standard deviations of pairs
    expect(held.rows.length).toBeLessThan(280);
    expect(train.rows.length + held.rows.length).toBe(4000);
    const texts = new Set(held.rows.map((row) => JSON.stringify(row)));
    expect(texts.size * 2).toBe(held.rows.length); // equal rows are on one side
    expect(train.rows.some((row) => texts.has(JSON.stringify(row)))).toBe(false);
    const line = Number(held.nameOf(0).split(":").at(-1));
    expect(rows[line - 1]).toEqual(held.rows[0]);
    const [, again] = splitRows(await read(write([...rows].reverse().slice(1000))), 0.05);
    expect(again.rows.every((row) => texts.has(JSON.stringify(row)))).toBe(true);
    expect(train.notes).toEqual([`  ${held.rows.length} of 4,000 rows held out to judge by`]);
  });

  test("a split that leaves nothing on one side is refused", async () => {
    const file = await read(write([{ text: "a" }]));
    expect(() => splitRows(file, 0.01)).toThrow(
      /valid_split: 0\.01 of the 1 rows of .*leaves 1 to learn from and 0 to judge by/,
    );
  });
});

describe("images", () => {
  const labels = async () =>
    (await listImages(folder)).images.map(({ label, path }) => [label, path.split("/").at(-1)]);

  // As imagefolder of datasets 5.0: names that begin with a dot, and folders that begin with two underscores.
  test("hidden files and folders are no images and no classes", async () => {
    write("cat/a.PNG", "dog/b.jpeg", "dog/__c.png", "dog/._b.png", "dog/.DS_Store", "dog/Thumbs.db");
    write(".ipynb_checkpoints/a.png", ".git/x.png", "__MACOSX/cat/._a.png", "__pycache__/x.png");
    write("cat/.ipynb_checkpoints/a-checkpoint.png", "README.md");
    expect(await labels()).toEqual([
      ["cat", "a.PNG"],
      ["dog", "__c.png"],
      ["dog", "b.jpeg"],
    ]);
    expect((await listImages(folder)).notes).toEqual([]);
  });

  test("what is left out is told", async () => {
    write(
      "cat/a.png",
      "cat/b.heic",
      "cat/c.SVG",
      "dog/a.jfif",
      "bird/readme.txt",
      "loose.png",
      "metadata.csv",
    );
    expect(await listImages(folder)).toMatchObject({
      images: [{ label: "cat" }, { label: "dog" }],
      notes: [
        "  2 images left out, in a format that is not read: b.heic, c.SVG",
        "  1 image left out, beside the folders of the classes: loose.png",
        "  1 file left out, since an image's class is its folder: metadata.csv",
        "  1 folder left out, without an image: bird",
      ],
    });
  });

  test("links to folders and files count as what they lead to", async () => {
    write("cat/a.png");
    symlinkSync(join(folder, "cat"), join(folder, "dog"));
    symlinkSync(join(folder, "none"), join(folder, "gone"));
    expect(await labels()).toEqual([
      ["cat", "a.png"],
      ["dog", "a.png"],
    ]);
  });

  test("images in a folder inside a class are refused", async () => {
    write("cat/a.png", "cat/2024/may/b.png", "cat/empty/notes.txt", "dog/old/c.png");
    await expect(listImages(folder)).rejects.toThrow(
      /2 problems:\n.*cat\/2024 holds images inside the folder of a class\n.*dog\/old/,
    );
  });

  test("a folder without classes says what is wanted", async () => {
    write("a.png", "b.png");
    await expect(listImages(folder)).rejects.toThrow(/holds no images in folders\n.*a folder for each class/);
  });

  test("train and valid are parts where they hold folders, and classes where they hold images", async () => {
    write("train/cat/a.png", "validation/cat/b.png", "test/cat/c.png", ".hidden/x.png");
    expect(await findImageFolders(folder)).toEqual({
      train: join(folder, "train"),
      valid: join(folder, "validation"),
    });
    expect(await findTestImages(folder)).toBe(join(folder, "test"));
    folder = join(folder, "vehicles");
    write("train/a.png", "car/b.png");
    expect(await findImageFolders(folder)).toEqual({ train: folder, valid: undefined });
  });
});
