// @ts-check
// Arithmetic with months in the form YYYY-MM.

/**
 * @param {string} month
 * @param {number} count  Negative for earlier months.
 */
export function addMonths(month, count) {
  const [year, index] = month.split("-").map(Number);
  return new Date(Date.UTC(year, index - 1 + count)).toISOString().slice(0, 7);
}

/** @param {string} month  Any text. */
export function isMonth(month) {
  return /^\d{4}-(0[1-9]|1[0-2])$/.test(month);
}

/** @param {number} now  In milliseconds. */
export function monthOf(now) {
  return new Date(now).toISOString().slice(0, 7);
}

/** Return the first instant after a month. @param {string} month */
export function endOf(month) {
  return Date.parse(`${addMonths(month, 1)}-01T00:00:00Z`);
}

/** Return the report's end: the month's end, or now while it is running. @param {string} month */
export function reportEnd(month) {
  return Math.min(Date.now(), endOf(month));
}
