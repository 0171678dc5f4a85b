import Papa from "papaparse";
import { type Row, reportRows } from "../data/rows.ts";
import { fail } from "../util/fail.ts";

/**
 * Reads a table of separated values whose first line names the columns. Cells are texts.
 * @param label the file, for messages
 * @throws LoraError naming every row that has too many or too few cells, or a quote that does not end
 */
export function readCsvRows(text: string, label: string): Row[] {
  const options = { header: true, skipEmptyLines: true } as const;
  const { data, errors, meta } = Papa.parse<Record<string, string>>(text.replace(/^\uFEFF/, ""), options);
  // One column has no delimiter to be found.
  const real = errors.filter(({ code }) => code !== "UndetectableDelimiter");
  const problems = real.map(({ row, message }) => `${label}: row ${(row ?? 0) + 1}: ${message}`);
  reportRows(label, problems, `the first line names the columns: ${meta.fields?.join(", ")}`);
  if (data.length === 0) fail(label, "has no rows", "the first line names the columns, the rows follow");
  return data.map((values, i) => ({ where: `${label}: row ${i + 1}`, values }));
}
