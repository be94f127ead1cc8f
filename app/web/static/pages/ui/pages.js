// @ts-check
// Read a connection page by page.
import { readQuery, toText, useQuery } from "../api.js";
import { formatCount } from "../format.js";
import { html, useState } from "../preact.js";

/**
 * @typedef {object} Pages
 * @property {any[]} nodes  Those of all pages read so far.
 * @property {number | null} totalCount  Null while loading, and if there is no such list.
 * @property {boolean} hasNextPage
 * @property {boolean} isLoaded
 * @property {boolean} isLoading  Whether the first page is being read, perhaps in another order.
 * @property {boolean} isLoadingMore
 * @property {string | null} error
 * @property {() => void} retry
 * @property {() => void} loadMore
 */
/** @typedef {{ nodes: any[], pageInfo: { hasNextPage: boolean, endCursor: string | null }, totalCount: number }} Connection */

/**
 * Read the first page; `loadMore` adds the next one.
 * @param {string} query
 * @param {Record<string, unknown>} variables  All but `after`.
 * @param {(data: any) => Connection | null} toConnection
 * @returns {Pages}
 */
export function usePages(query, variables, toConnection) {
  const first = useQuery(query, { ...variables, after: null });
  const key = JSON.stringify([query, variables]);
  const [more, setMore] = useState({ key, connections: /** @type {Connection[]} */ ([]), isLoading: false, error: /** @type {string | null} */ (null) });
  const later = more.key === key ? more : { key, connections: [], isLoading: false, error: null };
  const start = first.data && toConnection(first.data);
  const connections = start ? [start, ...later.connections] : [];
  const last = connections[connections.length - 1];
  const loadMore = async () => {
    setMore({ ...later, isLoading: true, error: null });
    /** @param {Partial<typeof later>} change */
    const finish = (change) => setMore((now) => (now.key === key ? { ...now, isLoading: false, ...change } : now));
    try {
      const next = toConnection(await readQuery(query, { ...variables, after: last.pageInfo.endCursor }));
      finish({ connections: next ? [...later.connections, next] : later.connections });
    } catch (error) {
      finish({ error: toText(error) });
    }
  };
  return {
    nodes: connections.flatMap((each) => each.nodes),
    totalCount: start ? start.totalCount : null,
    hasNextPage: last?.pageInfo.hasNextPage ?? false,
    isLoaded: first.data != null,
    isLoading: first.isLoading,
    isLoadingMore: later.isLoading,
    error: first.error ?? later.error,
    retry: first.error ? first.retry : loadMore,
    loadMore,
  };
}

/** @param {{ pages: Pages, size: number }} properties */
export function MoreButton({ pages, size }) {
  if (!pages.hasNextPage) return null;
  const count = Math.min(size, (pages.totalCount ?? 0) - pages.nodes.length);
  return html`<button class="button" type="button" disabled=${pages.isLoadingMore} onClick=${pages.loadMore}>
    ${pages.isLoadingMore ? "Loading …" : `Show ${formatCount(count)} more`}
  </button>`;
}

/**
 * Say how many rows are shown, such as "50 of 93 users".
 * @param {number} shown
 * @param {number} all
 * @param {string} column
 */
export function countText(shown, all, column) {
  const noun = `${column.toLowerCase()}${all === 1 ? "" : "s"}`;
  return shown === all ? `${formatCount(all)} ${noun}` : `${formatCount(shown)} of ${formatCount(all)} ${noun}`;
}
