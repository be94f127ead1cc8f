// @ts-check
// Run GraphQL operations; all figures on the pages come from them.
import { useEffect, useState } from "./preact.js";

/** @typedef {{ message: string, extensions?: { code?: string } }} GraphQLProblem */
/** @template T @typedef {{ data: T | null, error: string | null, isLoading: boolean }} Result */

/** An error whose message is meant for the reader. */
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
  const result = await readJson(response);
  /** @type {GraphQLProblem[]} */
  const problems = result.errors ?? [];
  if (problems.length > 0) throw new ApiError(problems.map((each) => each.message).join(" "));
  if (!result.data) throw new ApiError(result.msg ?? `The service responded with ${response.status}.`);
  return result.data;
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

/** @type {Map<string, { data: Promise<any>, expires: number }>} */
const cache = new Map();
const CACHE_MILLISECONDS = 60_000;

/**
 * Return the data of a query, from the cache if the same query ran less than a minute ago. So the
 * parts of a page share queries, and the back button shows a page at once.
 * @param {string} query
 * @param {Record<string, unknown>} variables
 */
export function readQuery(query, variables) {
  const key = JSON.stringify([query, variables]);
  const now = Date.now();
  const cached = cache.get(key);
  if (cached && cached.expires > now) return cached.data;
  const data = runQuery(query, variables);
  cache.set(key, { data, expires: now + CACHE_MILLISECONDS });
  data.catch(() => cache.delete(key));
  return data;
}

/** Empty the cache after a mutation. */
export function clearQueryCache() {
  cache.clear();
}

/** @param {Response} response */
async function readJson(response) {
  try {
    return await response.json();
  } catch {
    throw new ApiError(`The service responded with ${response.status} ${response.statusText}.`);
  }
}

/** Open the sign-in form, which returns to this page. */
function signIn() {
  location.assign(`/signin?next=${encodeURIComponent(location.pathname + location.search)}`);
}

/**
 * Run a query, and run it again whenever its variables change. Until the new data arrives, the
 * result keeps the last data of this query, so that the page does not jump.
 * @param {string} query
 * @param {Record<string, unknown> | null} variables  Null if they are not known yet.
 * @returns {Result<any> & { retry: () => void }}
 */
export function useQuery(query, variables) {
  const [attempt, setAttempt] = useState(0);
  const [state, setState] = useState({ query, ...EMPTY });
  const result = state.query === query ? state : EMPTY;
  const key = variables && JSON.stringify(variables);
  useEffect(() => {
    if (!variables) return undefined;
    let isCurrent = true;
    const finish = (/** @type {Result<any>} */ next) => isCurrent && setState({ query, ...next });
    setState((last) => ({ ...(last.query === query ? last : EMPTY), query, isLoading: true }));
    readQuery(query, variables).then(
      (data) => finish({ data, error: null, isLoading: false }),
      (error) => finish({ data: null, error: toText(error), isLoading: false }),
    );
    return () => {
      isCurrent = false;
    };
  }, [query, key, attempt]);
  return { ...result, retry: () => setAttempt((last) => last + 1) };
}

/** @type {Result<any>} */
const EMPTY = { data: null, error: null, isLoading: true };

/** @param {unknown} error */
export function toText(error) {
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
