import Papa from "papaparse";
import { type Row, reportRows } from "../data/rows.ts";
import { fail } from "../util/fail.ts";

/**
 * Reads a table of separated values whose first line names the columns. Cells are texts.
 * @param label the file, for messages
 * @throws LoraError naming every column that is there twice, every row that has too many or too few cells, or a quote that does not end
 */
export function readCsvRows(text: string, label: string): Row[] {
  const plain = text.replace(/^\uFEFF/, "");
  checkColumns(plain, label);
  const options = { header: true, skipEmptyLines: true } as const;
  const { data, errors, meta } = Papa.parse<Record<string, string>>(plain, options);
  // One column has no delimiter to be found.
  const real = errors.filter(({ code }) => code !== "UndetectableDelimiter");
  const problems = real.map(({ row, message }) => `${label}: row ${(row ?? 0) + 1}: ${message}`);
  reportRows(label, problems, `the first line names the columns: ${meta.fields?.join(", ")}`);
  if (data.length === 0) fail(label, "has no rows", "the first line names the columns, the rows follow");
  return data.map((values, i) => ({ where: `${label}: row ${i + 1}`, values }));
}

/** Of two columns with one name the parser would rename one, and say so on the console only. */
function checkColumns(text: string, label: string): void {
  const { data } = Papa.parse<string[]>(text, { preview: 1, skipEmptyLines: true });
  const names = data[0] ?? [];
  const twice = names.filter((name, i) => names.indexOf(name) < i);
  const problems = [...new Set(twice)].map((name) => `the column ${name} is there twice`);
  reportRows(label, problems, "give each column a name of its own");
}
