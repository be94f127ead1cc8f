// @ts-check
// The checks to read before closing a month.
import { formatAge, formatCount, formatMonth } from "../format.js";
import { endOf } from "../months.js";

const HOUR = 3_600_000;
const QUIET_HOURS = 24;
export const NUMBER_OF_CHECKS = 6;

/** @typedef {{ name: string, state: "good" | "look" | "open", text: string }} Check */

/**
 * @param {any} data
 * @param {string} month
 * @returns {Check[]}
 */
export function checkMonth(data, month) {
  const report = data.chargebackReport;
  return [
    checkSources(data.sources),
    checkFeed(data.feed, month),
    checkRefused(data.feed.days),
    checkSizes(report.unmeasuredExperiments),
    describeCorrections(report.corrections),
    {
      name: "Verification",
      state: "open",
      text: `"chargeback months verify ${month}" recomputes the month from its raw events.`,
    },
  ];
}

/** @param {any[]} sources @returns {Check} */
function checkSources(sources) {
  const name = "Sources ran";
  if (sources.length === 0) return { name, state: "open", text: "No source is configured; events arrive over the API and by imports." };
  const failed = sources.filter(({ lastRun }) => lastRun?.outcome !== "DONE");
  const skipped = sources.reduce((sum, { lastRun }) => sum + (lastRun?.skippedCount ?? 0), 0);
  if (failed.length > 0) return { name, state: "look", text: `The last run did not succeed: ${failed.map((each) => each.name).join(", ")}.` };
  if (skipped > 0) return { name, state: "look", text: `${formatCount(skipped)} items were skipped.` };
  return { name, state: "good", text: `The last run of ${sources.length === 1 ? "the source" : `all ${sources.length} sources`} succeeded.` };
}

/**
 * Events usually arrive within a day. A sender whose last batch arrived before the month's end may
 * still have events of the month.
 * @param {any} feed
 * @param {string} month
 * @returns {Check}
 */
function checkFeed(feed, month) {
  const name = "Every sender has sent events since the end";
  const now = Date.now();
  const late = feed.sources.filter((/** @type {any} */ each) => Date.parse(each.lastReceivedAt) < endOf(month));
  if (late.length > 0) {
    const senders = late.map((/** @type {any} */ each) => `${each.source} (${formatAge(each.lastReceivedAt, now)})`);
    return { name, state: "look", text: `Nothing since then from ${senders.join(", ")}.` };
  }
  if (now - endOf(month) < QUIET_HOURS * HOUR) {
    return { name, state: "look", text: `The month ended less than ${QUIET_HOURS} hours ago; late events may still arrive.` };
  }
  return { name, state: "good", text: `All ${formatCount(feed.sources.length)} senders have sent events since the month ended.` };
}

/** @param {any[]} days @returns {Check} */
function checkRefused(days) {
  const refused = days.reduce((sum, each) => sum + each.refused, 0);
  const name = "No recent rejections";
  if (refused === 0) return { name, state: "good", text: "No batch was rejected on the last two days with events." };
  return { name, state: "look", text: `${formatCount(refused)} events were rejected on the last two days with events; they are not stored.` };
}

/** @param {number} count @returns {Check} */
function checkSizes(count) {
  const name = "Every experiment has a size";
  if (count === 0) return { name, state: "good", text: "No experiment counts as 0 bytes because its size is missing." };
  return { name, state: "look", text: `${formatCount(count)} experiments have no size and count as 0 bytes.` };
}

/** @param {{ originMonth: string }[]} corrections @returns {Check} */
function describeCorrections(corrections) {
  const name = "Corrections";
  const months = [...new Set(corrections.map((each) => each.originMonth))];
  if (months.length === 0) return { name, state: "good", text: "Nothing arrived late for a closed month." };
  return { name, state: "open", text: `${formatCount(corrections.length)} figures of ${months.map(formatMonth).join(", ")} are booked in this month.` };
}
