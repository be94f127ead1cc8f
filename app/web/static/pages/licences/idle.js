// @ts-check
// Since when a user without activity counts as idle.
import { reportEnd } from "../months.js";

export const IDLE_DAYS = 90;
const DAY = 86_400_000;

/**
 * Return the day that lies so many days before a month's end, or before now while it is running.
 * @param {string} month
 * @param {number} days
 */
export function idleSince(month, days) {
  return new Date(reportEnd(month) - days * DAY).toISOString().slice(0, 10);
}

/**
 * Whether use was measured all the time since a day, so that idle users can be found.
 * @param {string | null} measuredFrom
 * @param {string} day
 */
export function isMeasuredSince(measuredFrom, day) {
  return measuredFrom != null && Date.parse(measuredFrom) < Date.parse(`${day}T00:00:00Z`);
}
