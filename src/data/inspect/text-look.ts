import { fail } from "../../util/fail.ts";
import { loadChats } from "../chat/late-chats.ts";
import { lengthToKeep } from "../packing.ts";
import type { Example } from "../rows/examples.ts";
import type { PreferenceRow } from "../rows/preferences.ts";
import type { EncodedRow } from "../tokenize/encode-rows.ts";
import type { RowEncoding } from "../tokenize/row-encoding.ts";
import { type LookedAt, placedRows } from "./inspect-rows.ts";
import { exampleLook, type Look, preferenceLook } from "./looks.ts";

import type { FindingKind } from "./report.ts";

/** A row of language modelling, or one that says which answers are better. */
export type TextRowOfAnyKind = Example | PreferenceRow;

/**
 * How rows are looked at that are all of language modelling, or all say which answers are better: the first one tells.
 * @param where what messages call them
 * @throws LoraError, while rows are encoded, where one is of the other kind
 */
export async function textLook(
  rows: LookedAt<TextRowOfAnyKind>,
  where: string,
  encoding: RowEncoding,
): Promise<Look<TextRowOfAnyKind, { readonly place: number }>> {
  await loadChats();
  if (rows.isPlainText) return plainTextLook(encoding) as Look<TextRowOfAnyKind, { readonly place: number }>;
  const arePreferences = await beginWithPreference(rows);
  const look = (arePreferences ? preferenceLook : exampleLook)(encoding) as Look<
    TextRowOfAnyKind,
    { readonly place: number }
  >;
  return {
    ...look,
    encode(row, place) {
      if (isPreference(row) !== arePreferences) {
        const what = `${where} has rows that say which answers are better, and others`;
        fail("data", what, "put them into files of their own: nothing learns from both");
      }
      return look.encode(row, place);
    },
  };
}

/** What is said of rows that end, and not of a text that goes on from part to part. */
const OF_ENDS: readonly FindingKind[] = ["no-end", "open-end"];

/** Parts of a plain text, of which all tokens are kept, in windows; each is shown by its first window. */
function plainTextLook(encoding: RowEncoding): Look<Example, EncodedRow> {
  const { maxLength } = encoding;
  const whole = { maxLength: lengthToKeep(maxLength, { packing: "wrapped" }), appendEos: false };
  const look = exampleLook({ ...encoding, options: { ...encoding.options, ...whole } });
  return {
    encode: look.encode,
    inspector(judged) {
      const inspector = look.inspector(judged);
      return {
        keys: inspector.keys,
        add: (row) => inspector.add(row).filter((kind) => !OF_ENDS.includes(kind)),
        report(nameOf) {
          const report = inspector.report(nameOf);
          return {
            ...report,
            maxLength,
            findings: report.findings.filter(({ kind }) => !OF_ENDS.includes(kind)),
          };
        },
      };
    },
    view: ({ inputIds, labels, ...row }, ...more) =>
      look.view(
        { ...row, inputIds: inputIds.slice(0, maxLength), labels: labels.slice(0, maxLength) },
        ...more,
      ),
  };
}

async function beginWithPreference(rows: LookedAt<TextRowOfAnyKind>): Promise<boolean> {
  for await (const { row } of placedRows(rows)) return isPreference(row);
  return false;
}

const isPreference = (row: TextRowOfAnyKind): row is PreferenceRow => "chosen" in row || "label" in row;
