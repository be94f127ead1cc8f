// @ts-check
const APPROXIMATE_STEPS = 4;

/**
 * Return round tick values from 0 to at least `largest`, the largest first.
 * @param {number} largest
 * @param {number} [unit]  Ticks are round multiples of this.
 */
export function ticksFor(largest, unit = 1) {
  if (!(largest > 0)) return [unit, 0];
  const rough = largest / unit / APPROXIMATE_STEPS;
  const magnitude = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((each) => each * magnitude).find((each) => each >= rough) ?? rough;
  const steps = Math.ceil(largest / unit / step);
  return Array.from({ length: steps + 1 }, (_, index) => (steps - index) * step * unit);
}
