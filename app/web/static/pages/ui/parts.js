// @ts-check
// Components that several pages use.
import { graphiqlAddress } from "../api.js";
import { html, useEffect, useState } from "../preact.js";
import { navigate, withParameters } from "../router.js";

/**
 * A link that opens the query behind a figure in GraphiQL.
 * @param {{ of: string, query: string, variables: Record<string, unknown> }} properties
 */
export function ShowQuery({ of, query, variables }) {
  return html`<a
    class="show-query"
    href=${graphiqlAddress(query, variables)}
    target="_blank"
    rel="noopener"
    title="Show the GraphQL query behind this"
    >query<span class="visually-hidden"> of ${of}, in a new tab</span></a
  >`;
}

/** @param {{ error: string, retry: () => void }} properties */
export function Problem({ error, retry }) {
  return html`<div class="notice bad" role="alert">
    <h2>This could not be loaded</h2>
    <p>${error}</p>
    <p><button class="button" type="button" onClick=${retry}>Try again</button></p>
  </div>`;
}

/** Takes the space of a text that is still loading. @param {{ width?: string }} properties */
export function Placeholder({ width = "6ch" }) {
  return html`<span class="placeholder" style=${{ minWidth: width }} aria-hidden="true">0</span>`;
}

/**
 * Links that switch between views.
 * @param {{ label: string, options: { name: string, address: string, isCurrent: boolean }[] }} properties
 */
export function Segments({ label, options }) {
  return html`<div class="segments" role="group" aria-label=${label}>
    ${options.map(
      ({ name, address, isCurrent }) =>
        html`<a href=${address} data-keep-scroll="yes" aria-current=${isCurrent ? "true" : null}>${name}</a>`,
    )}
  </div>`;
}

/**
 * Shows a fraction as a bar and as a percentage.
 * @param {{ fraction: number | null, text: string }} properties
 */
export function Share({ fraction, text }) {
  const width = `${Math.max(0, Math.min(1, fraction ?? 0)) * 100}%`;
  return html`<span class="share">
    <span class="track"><span class="fill" style=${{ width }}></span></span>
    <span class="number">${text}</span>
  </span>`;
}

const SKELETON_ROWS = 8;

/** A table whose rows are still loading. @param {{ head: any, columns: number }} properties */
export function SkeletonRows({ head, columns }) {
  return html`<div class="scroll" aria-busy="true">
    <table class="data-table">
      ${head}
      <tbody>
        ${Array.from({ length: SKELETON_ROWS }, (_, row) => html`<tr key=${row} class="skeleton"><td colspan=${columns}><${Placeholder} width=${`${90 - row * 7}%`} /></td></tr>`)}
      </tbody>
    </table>
    <p class="table-foot" role="status">Loading …</p>
  </div>`;
}

const SEARCH_PAUSE_MILLISECONDS = 250;

/**
 * A search field. Its text becomes the parameter `q` of the address once the reader pauses.
 * @param {{ label: string, value: string }} properties
 */
export function Search({ label, value }) {
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  useEffect(() => {
    if (text === value) return undefined;
    const search = () => navigate(withParameters({ q: text }), { replace: true });
    const timer = setTimeout(search, SEARCH_PAUSE_MILLISECONDS);
    return () => clearTimeout(timer);
  }, [text]);
  const change = (/** @type {any} */ event) => setText(event.target.value);
  return html`<input class="field" type="search" placeholder=${label} aria-label=${label} value=${text} onInput=${change} />`;
}
