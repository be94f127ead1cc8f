// @ts-check
// Figures, dates and months as text.

const LOCALE = "en-GB";
const whole = new Intl.NumberFormat(LOCALE);
const oneDecimal = new Intl.NumberFormat(LOCALE, {
  minimumFractionDigits: 1,
  maximumFractionDigits: 1,
});
const twoDecimals = new Intl.NumberFormat(LOCALE, {
  minimumFractionDigits: 2,
  maximumFractionDigits: 2,
});
const dayFormat = new Intl.DateTimeFormat(LOCALE, {
  day: "numeric",
  month: "short",
  year: "numeric",
  timeZone: "UTC",
});
const timeFormat = new Intl.DateTimeFormat(LOCALE, {
  day: "numeric",
  month: "short",
  year: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  timeZone: "UTC",
});
const relative = new Intl.RelativeTimeFormat(LOCALE, { numeric: "always", style: "short" });

export const MINUS = "\u2212";
export const NONE = "\u2013";
export const MB_PER_GB = 1024;

/** @param {number | null | undefined} value */
export function formatCount(value) {
  return value == null ? NONE : withMinus(whole.format(value));
}

/** Format MB as GB with one decimal. @param {number | null | undefined} megabytes */
export function formatGb(megabytes) {
  return megabytes == null ? NONE : withMinus(oneDecimal.format(megabytes / MB_PER_GB));
}

/** Format MB as whole GB. @param {number} megabytes */
export function formatWholeGb(megabytes) {
  return withMinus(whole.format(Math.round(megabytes / MB_PER_GB)));
}

/**
 * Format an amount with its currency.
 * @param {number | null | undefined} amount
 * @param {string} currency
 */
export function formatMoney(amount, currency) {
  if (amount == null) return NONE;
  return withMinus(new Intl.NumberFormat(LOCALE, { style: "currency", currency }).format(amount));
}

/**
 * Return the smallest amount that is not shown as 0: half the currency's minor unit.
 * @param {string} currency
 */
export function halfMinorUnit(currency) {
  const { maximumFractionDigits = 2 } = new Intl.NumberFormat(LOCALE, { style: "currency", currency }).resolvedOptions();
  return 0.5 * 10 ** -maximumFractionDigits;
}

/**
 * Format the price of one unit with all its decimals, of which a price has at most ten.
 * @param {number} price
 * @param {string} currency
 */
export function formatPrice(price, currency) {
  return new Intl.NumberFormat(LOCALE, { style: "currency", currency, maximumFractionDigits: 10 }).format(price);
}

/** Format a quantity with at most two decimals. @param {number} quantity */
export function formatQuantity(quantity) {
  return withMinus(new Intl.NumberFormat(LOCALE, { maximumFractionDigits: 2 }).format(quantity));
}

/** Format a number with two decimals. @param {number} value */
export function formatHundredths(value) {
  return withMinus(twoDecimals.format(value));
}

/** @param {number | null | undefined} fraction */
export function formatPercent(fraction) {
  return fraction == null ? NONE : `${withMinus(oneDecimal.format(fraction * 100))}%`;
}

/**
 * Prefix a formatted figure with its sign.
 * @param {number | null | undefined} value
 * @param {(value: number) => string} format
 */
export function formatSigned(value, format) {
  if (value == null) return NONE;
  const text = format(value);
  return value > 0 && /[1-9]/.test(text) ? `+${text}` : text.replace(/^\u2212(?=[0.,%]+$)/, "");
}

/** @param {string} text */
function withMinus(text) {
  return text.replace("-", MINUS);
}

/** @param {string} instant */
export function formatDay(instant) {
  return dayFormat.format(new Date(instant));
}

/** @param {string} instant */
export function formatTime(instant) {
  return `${timeFormat.format(new Date(instant))} UTC`;
}

/**
 * Format how long ago an instant was.
 * @param {string} instant
 * @param {number} now  In milliseconds.
 */
export function formatAge(instant, now) {
  const minutes = Math.max(0, Math.round((now - Date.parse(instant)) / 60_000));
  if (minutes < 1) return "just now";
  if (minutes < 60) return relative.format(-minutes, "minute");
  if (minutes < 48 * 60) return relative.format(-Math.round(minutes / 60), "hour");
  return relative.format(-Math.round(minutes / 1440), "day");
}

/** @param {string} month  YYYY-MM */
export function formatMonth(month) {
  return monthText(month, { month: "long", year: "numeric" });
}

/** @param {string} month */
export function formatMonthName(month) {
  return monthText(month, { month: "long" });
}

/** @param {string} month */
export function formatShortMonth(month) {
  return formatMonthName(month).slice(0, 3);
}

/**
 * @param {string} month
 * @param {Intl.DateTimeFormatOptions} options
 */
function monthText(month, options) {
  const date = new Date(`${month}-01T00:00:00Z`);
  return new Intl.DateTimeFormat(LOCALE, { ...options, timeZone: "UTC" }).format(date);
}
