// @ts-check
// Compare the lines of a statement with those of the month before.

/**
 * @typedef {object} ChargeLine
 * @property {string} lineId
 * @property {string} rate
 * @property {string} rateName
 * @property {string} measure
 * @property {string | null} workspace
 * @property {string | null} userName
 * @property {string | null} originMonth  The closed month that the line corrects, else null.
 * @property {string} quantity
 * @property {string} unit
 * @property {string} price
 * @property {string} amount
 */

/** @typedef {{ key: string, line: ChargeLine, amount: number | null, before: number | null, change: number }} StatementLine */

/** @param {ChargeLine} line */
function keyOf(line) {
  return JSON.stringify([line.rate, line.workspace, line.userName, line.originMonth]);
}

/**
 * Return every line of the month and of the month before. A line of only one of them is new or gone.
 * @param {ChargeLine[]} now
 * @param {ChargeLine[]} before
 * @returns {StatementLine[]}
 */
export function compareLines(now, before) {
  const earlier = new Map(before.map((line) => [keyOf(line), line]));
  const kept = now.map((line) => toStatementLine(line, Number(line.amount), earlier.get(keyOf(line))));
  const present = new Set(now.map(keyOf));
  const gone = before
    .filter((line) => !present.has(keyOf(line)) && line.originMonth == null)
    .map((line) => toStatementLine(line, null, line));
  return [...kept, ...gone];
}

/**
 * @param {ChargeLine} line
 * @param {number | null} amount
 * @param {ChargeLine | undefined} earlier
 * @returns {StatementLine}
 */
function toStatementLine(line, amount, earlier) {
  const before = earlier ? Number(earlier.amount) : null;
  return { key: keyOf(line), line, amount, before, change: (amount ?? 0) - (before ?? 0) };
}

/** Describe what a line charges. @param {ChargeLine} line */
export function describeLine({ rateName, workspace, userName }) {
  if (userName && workspace) return `${userName}, as a member of ${workspace}`;
  return userName ?? workspace ?? rateName;
}
