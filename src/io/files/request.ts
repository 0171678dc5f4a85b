import { fail, LoraError } from "../../util/fail.ts";
import { shownAddress } from "./address.ts";
import { etagDigest } from "./digest.ts";
import { inTime, type TimeLimits } from "./time-limits.ts";

/** How requests are made. */
export interface HttpClient {
  readonly fetch: typeof globalThis.fetch;
  /** The Authorization header; goes to the origin that is asked only, never along a redirect to another. */
  readonly authorization?: string | undefined;
  /** Waits; injectable for tests. */
  readonly delay: (milliseconds: number) => Promise<void>;
  /** Told of a wait that is long enough to be taken for a hang. */
  readonly onWarning?: ((warning: string) => void) | undefined;
  /** What to do about a refusal (401, 403). */
  readonly refusedHelp: string;
  /** What to do where the server cannot be reached. */
  readonly unreachableHelp: string;
  /** Ends what is asked for, and waits, where it is aborted; what was thrown is then its reason. */
  readonly signal?: AbortSignal | undefined;
  /** Told of the bytes of bodies as they come. */
  readonly onDownload?: ((bytes: number) => void) | undefined;
  /** Attempts without any progress before a request is given up. */
  readonly attempts: number;
  readonly limits: TimeLimits;
  /**
   * Redirects are followed here, which shows the hub's own headers and every step; not in browsers, which show neither
   * and drop the Authorization header and refuse http after https themselves.
   */
  readonly seesRedirects: boolean;
}

/** One file on a server. */
export interface RemoteFile {
  readonly url: string;
  /** The file in messages. */
  readonly where: string;
}

/** What is asked for. */
export interface Question {
  readonly method?: "GET" | "HEAD";
  /** The Range header. */
  readonly range?: string;
  /** A redirect to another origin is the answer: what comes before it is all that is wanted. */
  readonly staysHome?: boolean;
}

/** A response, and what the servers on the way to it told. */
export interface Answer {
  readonly response: Response;
  readonly told: Told;
}

/** What a hub tells of a file before it sends to where the content is. */
export interface Told {
  /** `X-Repo-Commit`: the commit that the revision stands for. */
  readonly commit?: string;
  /** `X-Linked-Etag`, else the ETag of the hub's own answer: SHA-256 or git's blob id. */
  readonly etag?: string;
  /** `X-Linked-Size`: bytes of the content. */
  readonly size?: number;
}

const MAX_REDIRECTS = 10;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 120_000;
/** Longer waits are told. */
const QUIET_PAUSE_MS = 5_000;

/**
 * One request, repeated after network errors, 408, 429 and 5xx. Answers 2xx, 404, 416 and redirects that are not to be
 * followed. Throws a LoraError of kind `network` for everything else, but of kind `input` where the hub has no such
 * revision.
 */
export async function request(client: HttpClient, file: RemoteFile, question: Question): Promise<Answer> {
  for (let attempt = 1; ; attempt++) {
    const answer = await follow(client, file, question).catch((error: unknown) => asError(error));
    if (answer instanceof LoraError) throw answer;
    if (!(answer instanceof Error) && !isPassing(answer.response.status)) {
      checkAnswer(answer, file, client, question);
      return answer;
    }
    client.signal?.throwIfAborted();
    const failure = answer instanceof Error ? answer : answer.response;
    if (failure instanceof Response) await discard(failure);
    if (attempt >= client.attempts) throw unreachable(client, file, failure);
    await rest(client, file, failure, attempt);
  }
}

/** Waits before the next attempt: as long as the server asks to, within reason, else longer each time. */
export async function rest(
  client: HttpClient,
  { where }: RemoteFile,
  failure: unknown,
  failures: number,
): Promise<void> {
  const asked = retryAfter(failure);
  if (asked !== undefined && asked > QUIET_PAUSE_MS) {
    const seconds = Math.ceil(asked / 1000);
    client.onWarning?.(
      `${where}: the server answered ${describe(failure as Response)} and asks to wait ${seconds} s`,
    );
  }
  const pause = client.delay(asked ?? Math.min(FIRST_PAUSE_MS * 2 ** (failures - 1), LONGEST_PAUSE_MS));
  await (client.signal ? Promise.race([pause, aborted(client.signal)]) : pause);
  client.signal?.throwIfAborted();
}

const aborted = (signal: AbortSignal) =>
  new Promise<void>((told) => signal.addEventListener("abort", () => told(), { once: true }));

/** One attempt, with its redirects. */
async function follow(client: HttpClient, file: RemoteFile, question: Question): Promise<Answer> {
  let { url } = file;
  let { authorization } = client;
  let told: Told = {};
  for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
    const response = await fetchOnce(client, url, authorization, question);
    told = learn(told, response);
    const target = redirectOf(response, url);
    if (target === undefined) {
      checkStep(file, url, response.url || url);
      return { response, told };
    }
    const leaves = target.origin !== new URL(url).origin;
    if (leaves && question.staysHome) return { response, told };
    await discard(response);
    checkStep(file, url, target.href);
    if (leaves) authorization = undefined;
    url = target.href;
  }
  throw networkError(
    file,
    `the server redirects more than ${MAX_REDIRECTS} times`,
    "check the address; it seems to lead in a circle",
  );
}

async function fetchOnce(
  { fetch, limits, seesRedirects, signal: stop }: HttpClient,
  url: string,
  authorization: string | undefined,
  { method = "GET", range }: Question,
): Promise<Response> {
  const headers = new Headers();
  if (range !== undefined) headers.set("range", range);
  // Packed bytes have other offsets. Browsers leave this out, and never ask for a packed part.
  headers.set("accept-encoding", "identity");
  if (authorization !== undefined) headers.set("authorization", authorization);
  const controller = new AbortController();
  const redirect = seesRedirects ? "manual" : "follow";
  const signal = stop ? AbortSignal.any([controller.signal, stop]) : controller.signal;
  const answer = fetch(url, { method, headers, redirect, signal });
  return inTime(answer, limits.answer, "no answer began", () => controller.abort());
}

/** Where a response sends to, or undefined where it is an answer itself. */
function redirectOf({ status, headers }: Response, url: string): URL | undefined {
  const location = headers.get("location");
  if (status < 300 || status >= 400 || location === null) return undefined;
  if (!URL.canParse(location, url)) return undefined;
  // A user and a password of somebody else's choice; fetch refuses them, in a message that shows them.
  return Object.assign(new URL(location, url), { username: "", password: "" });
}

/** Throws unless a redirect may be followed: what came by https does not go on by http, which anybody could change. */
function checkStep(file: RemoteFile, from: string, to: string): void {
  const [before, after] = [from, to].map((url) => new URL(url).protocol);
  if (after === "https:" || (after === "http:" && before === "http:")) return;
  throw networkError(
    file,
    `the server redirects from ${before} to ${shownAddress(to)}, which is not followed`,
    "give the address that is meant, if it can be trusted",
  );
}

/** What is known after one more response: of the content's own digest the first word counts, which is the hub's. */
function learn(told: Told, { headers }: Response): Told {
  const commit = told.commit ?? headers.get("x-repo-commit") ?? undefined;
  const linked = headers.get("x-linked-etag");
  const own = headers.has("x-repo-commit") ? headers.get("etag") : null;
  const etag = told.etag ?? linked ?? (etagDigest(own) && own) ?? undefined;
  const size = told.size ?? wholeNumber(headers.get("x-linked-size"));
  return { ...(commit && { commit }), ...(etag && { etag }), ...(size !== undefined && { size }) };
}

function checkAnswer(
  { response }: Answer,
  file: RemoteFile,
  client: HttpClient,
  { staysHome = false }: Question,
): void {
  const { status } = response;
  const code = response.headers.get("x-error-code");
  if (status === 404 && code === "RepoNotFound")
    throw networkError(file, "the hub knows no such repository", CHECK_ID);
  // The repository is there, so what is asked for is wrong: no copy from earlier can stand for it.
  if (status === 404 && code === "RevisionNotFound")
    fail(file.where, `the hub knows no such revision (${shownAddress(file.url)})`, CHECK_ID);
  const redirected = status >= 300 && status < 400;
  if (response.ok || (redirected && staysHome) || status === 404 || status === 416) return;
  const refused = status === 401 || status === 403;
  throw networkError(
    file,
    `the server answered ${describe(response)}`,
    refused ? client.refusedHelp : undefined,
  );
}

const CHECK_ID = "check the spelling of owner/name@revision";

/** Failures that another attempt may mend. */
function isPassing(status: number): boolean {
  return status >= 500 || status === 429 || status === 408;
}

/** Milliseconds that a response's Retry-After asks for (seconds or a date), if any. */
function retryAfter(failure: unknown): number | undefined {
  const header = failure instanceof Response ? failure.headers.get("retry-after") : null;
  if (header === null) return undefined;
  const milliseconds =
    wholeNumber(header) !== undefined ? Number(header) * 1000 : Date.parse(header) - Date.now();
  if (Number.isNaN(milliseconds)) return undefined;
  return Math.min(Math.max(milliseconds, 0), LONGEST_PAUSE_MS);
}

/** Ends a response whose body nobody reads. */
export async function discard({ body }: Response): Promise<void> {
  await body?.cancel().catch(() => {});
}

export function wholeNumber(text: string | null | undefined): number | undefined {
  return text && /^\d+$/.test(text) ? Number(text) : undefined;
}

export function unreachable(
  { attempts, unreachableHelp }: HttpClient,
  file: RemoteFile,
  reason: unknown,
): LoraError {
  const text = reason instanceof Response ? `the server answered ${describe(reason)}` : describeError(reason);
  const tries = attempts === 1 ? "the server cannot be reached" : `gave up after ${attempts} attempts`;
  return networkError(file, `${tries}: ${text}`, unreachableHelp);
}

export function networkError({ url, where }: RemoteFile, message: string, help?: string): LoraError {
  return new LoraError("network", where, `${message} (${shownAddress(url)})`, help);
}

function describe({ status, statusText }: Response): string {
  return `${status} ${statusText}`.trim();
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

/** fetch hides the reason (refused, no such host) in `cause`. */
function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause instanceof Error ? `: ${error.cause.message}` : "";
  return `${error.message}${cause}`;
}
