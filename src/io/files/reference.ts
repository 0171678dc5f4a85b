import { fail } from "../../util/fail.ts";

/** The hub that is asked unless another endpoint is given. */
export const DEFAULT_ENDPOINT = "https://huggingface.co";

/** What a user may name as a model. */
export type ModelReference = { readonly kind: "url"; readonly url: string } | HubReference | FolderReference;

/** A repository of the hub, named as `owner/name[@revision]` or by its page. */
export interface HubReference {
  readonly kind: "hub";
  readonly repo: string;
  readonly revision: string | undefined;
}

/** What is neither an address nor a hub id. */
export interface FolderReference {
  readonly kind: "folder";
  readonly path: string;
}

/**
 * Reads a model reference by its syntax alone: an `http(s)` address, a hub id `owner/name[@revision]`, else a
 * folder. A folder `a/b` looks like a hub id too: whoever has a file system looks there first.
 * The web page of a repository (`<hub>/owner/name`, `/tree/<revision>`, `/resolve/<revision>`) counts as its id.
 */
export function parseModelReference(text: string): ModelReference {
  const trimmed = text.trim();
  if (trimmed === "") fail("model", "the name is empty", "give a folder, an address or a hub id owner/name");
  const page = HUB_PAGE.exec(trimmed);
  if (page) return { kind: "hub", repo: page[1]!, revision: page[2] };
  if (/^https?:\/\//i.test(trimmed)) return { kind: "url", url: trimmed };
  const [repo = "", revision] = trimmed.split("@");
  if (HUB_ID.test(trimmed) && isHubId(repo)) return { kind: "hub", repo, revision };
  return { kind: "folder", path: trimmed };
}

/**
 * The revision that a reference and an option name together.
 * @throws LoraError where they name two
 */
export function settleRevision(
  { repo, revision }: HubReference,
  asked: string | undefined,
): string | undefined {
  if (asked && revision && asked !== revision)
    fail(
      "model",
      `${repo}@${revision} names the revision ${revision}, but ${asked} was asked for`,
      "give one of them",
    );
  return revision ?? (asked || undefined);
}

const HUB_ID = /^[\w.-]+\/[\w.-]+(@[\w./-]+)?$/;
const HUB_PAGE = new RegExp(
  `^${DEFAULT_ENDPOINT}/([\\w.-]+/[\\w.-]+?)(?:/(?:tree|resolve)/([\\w./-]+?))?/?$`,
);

/** `owner/name` in which neither part is `.` or `..`, as in the folder `./name`. */
export function isHubId(repo: string): boolean {
  return /^[\w.-]+\/[\w.-]+$/.test(repo) && !repo.split("/").some((part) => /^\.\.?$/.test(part));
}

/** A repository in messages and in adapters' `base_model_name_or_path`. */
export function hubLabel(repo: string, revision = "main"): string {
  return revision === "main" ? repo : `${repo}@${revision}`;
}
