// @ts-check
// The change of a figure since the month before.

/** @typedef {{ averageSizeInMb: number | null, totalSizeInMb: number }} Sizes */
/** @typedef {{ absolute: number | null, fraction: number | null }} Change */

/**
 * @param {number | null | undefined} now
 * @param {number | null | undefined} before  Null or undefined if there was no figure.
 * @returns {Change}
 */
export function compare(now, before) {
  if (now == null || before == null) return { absolute: null, fraction: null };
  return { absolute: now - before, fraction: before ? (now - before) / before : null };
}
