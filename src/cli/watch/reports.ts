/** What a run can be reported to, beside the screen. */
export const REPORTS = ["jsonl", "html", "tensorboard"] as const;
export type ReportKind = (typeof REPORTS)[number];
