// @ts-check
// Components that several pages use.
import { graphiqlAddress } from "../api.js";
import { html } from "../preact.js";

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
