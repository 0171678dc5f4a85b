import type { NamedAdaptation } from "../nn/adapter-list.ts";
import { lastOccurrence } from "../nn/invocation.ts";
import { fail } from "../util/fail.ts";

/**
 * What about rows deserves attention where an adapter waits for certain tokens in them.
 * @param items as they are trained on; undefined where they are read when they are needed
 * @throws LoraError where none has them, so that nothing would be trained
 */
export function wakingRemarks(
  { invocation }: Pick<NamedAdaptation, "invocation">,
  items: readonly unknown[] | undefined,
): string[] {
  if (!invocation) return [];
  const { sequence } = invocation;
  const texts = items?.filter(isText) ?? [];
  const asleep = texts.filter(({ inputIds }) => !Number.isFinite(lastOccurrence(inputIds, sequence)));
  if (asleep.length === 0) return [];
  const what = `alora_invocation_tokens [${sequence.join(", ")}]`;
  if (asleep.length < texts.length) {
    return [`${asleep.length} of ${texts.length} rows do not have ${what}: they teach the adapter nothing`];
  }
  const help =
    "give the tokens that the rows have; inspect shows these: a text within another may be other tokens than alone";
  return fail("train", `none of the rows has ${what}, so that nothing would be trained`, help);
}

function isText(item: unknown): item is { readonly inputIds: readonly number[] } {
  return typeof item === "object" && item !== null && "inputIds" in item;
}
