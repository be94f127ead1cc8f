// @ts-check
// Idle seats: licensed users whose last use is too long before a month's end.
import { endOf } from "../months.js";

export const IDLE_DAYS = 90;
const DAY = 86_400_000;

/**
 * @typedef {object} Seat
 * @property {string} username
 * @property {string} createdAt
 * @property {string | null} lastUsedAt
 * @property {number | null} uiUsageCount  Null if no source measures the channel.
 * @property {number | null} sdkUsageCount
 */

/** Whether a source reports when this user uses the platform. @param {Seat} seat */
export function isMeasured(seat) {
  return seat.uiUsageCount != null || seat.sdkUsageCount != null || seat.lastUsedAt != null;
}

/**
 * Return for how many days a seat has been idle at a moment; since its creation if never used.
 * @param {Seat} seat
 * @param {number} at  In milliseconds.
 */
export function idleDays(seat, at) {
  const since = Date.parse(seat.lastUsedAt ?? seat.createdAt);
  return Math.max(0, Math.floor((at - since) / DAY));
}

/** Return the report end of a month: its end, or now while it is running. @param {string} month */
export function momentOf(month) {
  return Math.min(Date.now(), endOf(month));
}

/**
 * @param {Seat[]} seats
 * @param {string} month
 * @param {number} days
 */
export function countIdleSeats(seats, month, days) {
  const at = momentOf(month);
  const idle = seats.filter((seat) => isMeasured(seat) && idleDays(seat, at) >= days);
  return { idle: idle.length, all: seats.length };
}
