// @ts-check
import { html } from "../preact.js";

const PATHS = {
  left: "M10 3 5 8l5 5",
  right: "m6 3 5 5-5 5",
  down: "m4 6 4 4 4-4",
  theme: "M8 2a6 6 0 1 0 0 12zm0 0a6 6 0 0 1 0 12",
  download: "M8 2v8m-3-3 3 3 3-3M3 13h10",
  print: "M4.5 6V2.5h7V6M4.5 11.5H2.8V6.2h10.4v5.3h-1.7M4.5 9.5h7v4h-7z",
  signOut: "M6.5 13.5h-4v-11h4M10 5l3 3-3 3m3-3H6",
};

/** @param {{ name: keyof typeof PATHS }} properties */
export function Icon({ name }) {
  return html`<svg class="icon" viewBox="0 0 16 16" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;
}
