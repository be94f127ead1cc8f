// @ts-check
import { html } from "../preact.js";

const WIDTH = 88;
const HEIGHT = 32;
const INSET = 3;

/**
 * A small line chart of up to 13 values without axes; the label describes it in words.
 * @param {{ values: (number | null)[], label: string }} properties
 */
export function Sparkline({ values, label }) {
  const known = values.filter((value) => value != null);
  if (known.length < 2) return null;
  const points = toPoints(values);
  const line = points.map(([x, y], index) => `${index ? "L" : "M"}${x} ${y}`).join("");
  const [lastX, lastY] = points[points.length - 1];
  return html`<svg class="sparkline" viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label=${label}>
    <path class="area" d=${`${line}L${lastX} ${HEIGHT}L${points[0][0]} ${HEIGHT}Z`} />
    <path d=${line} />
    <circle cx=${lastX} cy=${lastY} r="2.6" />
  </svg>`;
}

/**
 * @param {(number | null)[]} values
 * @returns {[number, number][]}
 */
function toPoints(values) {
  const known = /** @type {number[]} */ (values.filter((value) => value != null));
  const low = Math.min(...known);
  const range = Math.max(...known) - low || 1;
  const step = (WIDTH - 2 * INSET) / (values.length - 1);
  return /** @type {[number, number][]} */ (
    values.flatMap((value, index) => {
      if (value == null) return [];
      const y = HEIGHT - INSET - ((value - low) / range) * (HEIGHT - 2 * INSET);
      return [[round(INSET + index * step), round(y)]];
    })
  );
}

/** @param {number} value */
function round(value) {
  return Math.round(value * 10) / 10;
}
