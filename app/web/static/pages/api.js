// @ts-check
// The GraphQL API, the only source of the figures on the pages.
import { useEffect, useState } from "./preact.js";

/** @typedef {{ message: string, extensions?: { code?: string } }} GraphQLProblem */
/** @template T @typedef {{ data: T | null, error: string | null, isLoading: boolean }} Result */

/** An error whose message can be shown as it is. */
export class ApiError extends Error {}

/**
 * Run an operation with the session's cookie.
 * @param {string} query
 * @param {Record<string, unknown>} variables
 * @returns {Promise<any>}
 */
export async function runQuery(query, variables) {
  const response = await send({ query, variables });
  if (response.status === 401) signIn();
  const answer = await readJson(response);
  /** @type {GraphQLProblem[]} */
  const problems = answer.errors ?? [];
  if (problems.length > 0) throw new ApiError(problems.map((each) => each.message).join(" "));
  if (!answer.data) throw new ApiError(answer.msg ?? `The service answered ${response.status}.`);
  return answer.data;
}

/** @param {object} body */
async function send(body) {
  try {
    return await fetch("/graphql", {
      method: "POST",
      credentials: "same-origin",
      headers: {
        accept: "application/graphql-response+json, application/json;q=0.9",
        "content-type": "application/json",
        "x-chargeback-client": "pages",
      },
      body: JSON.stringify(body),
    });
  } catch {
    throw new ApiError("The service cannot be reached.");
  }
}

/** @type {Map<string, { answer: Promise<any>, expires: number }>} */
const recent = new Map();
const KEPT_MILLISECONDS = 60_000;

/**
 * Run a query, or return the answer that the same query had a moment ago: parts of a page share
 * queries, and the back button shows the page at once.
 * @param {string} query
 * @param {Record<string, unknown>} variables
 */
export function readQuery(query, variables) {
  const key = JSON.stringify([query, variables]);
  const now = Date.now();
  const known = recent.get(key);
  if (known && known.expires > now) return known.answer;
  const answer = runQuery(query, variables);
  recent.set(key, { answer, expires: now + KEPT_MILLISECONDS });
  answer.catch(() => recent.delete(key));
  return answer;
}

/** Forget all answers, after a mutation. */
export function forgetQueries() {
  recent.clear();
}

/** @param {Response} response */
async function readJson(response) {
  try {
    return await response.json();
  } catch {
    throw new ApiError(`The service answered ${response.status} ${response.statusText}.`);
  }
}

/** Open the sign-in form; it leads back to this page. */
function signIn() {
  location.assign(`/signin?next=${encodeURIComponent(location.pathname + location.search)}`);
}

/**
 * Run an operation and again whenever its variables change. The last data stays while new data
 * loads, so that the page does not jump.
 * @param {string} query
 * @param {Record<string, unknown> | null} variables  Null: do not run it yet.
 * @returns {Result<any> & { retry: () => void }}
 */
export function useQuery(query, variables) {
  const [attempt, setAttempt] = useState(0);
  const [result, setResult] = useState(
    /** @type {Result<any>} */ ({ data: null, error: null, isLoading: true }),
  );
  const key = variables && JSON.stringify(variables);
  useEffect(() => {
    if (!variables) return undefined;
    let isCurrent = true;
    setResult((last) => ({ ...last, isLoading: true }));
    readQuery(query, variables).then(
      (data) => isCurrent && setResult({ data, error: null, isLoading: false }),
      (error) => isCurrent && setResult({ data: null, error: toText(error), isLoading: false }),
    );
    return () => {
      isCurrent = false;
    };
  }, [query, key, attempt]);
  return { ...result, retry: () => setAttempt((last) => last + 1) };
}

/** @param {unknown} error */
function toText(error) {
  return error instanceof Error ? error.message : String(error);
}

/**
 * Return the address that opens an operation in GraphiQL.
 * @param {string} query
 * @param {Record<string, unknown>} variables
 */
export function graphiqlAddress(query, variables) {
  const parameters = new URLSearchParams({
    query: query.trim(),
    variables: JSON.stringify(variables, null, 2),
  });
  return `/graphql?${parameters}`;
}
