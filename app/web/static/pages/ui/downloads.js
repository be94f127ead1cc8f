// @ts-check
// The files of a month that the REST API serves.

/** @typedef {{ name: string, note: string, address: string, file: string }} Download */

/**
 * Return the files of a month.
 * @param {string} month
 * @param {boolean} hasCharges
 * @returns {Download[]}
 */
export function downloadsOf(month, hasCharges) {
  const file = (/** @type {string} */ path, /** @type {string} */ name, /** @type {string} */ note, /** @type {string} */ format, /** @type {string} */ ending) => ({
    name,
    note,
    address: `/api/admin/chargeback/${path}?${new URLSearchParams({ reportMonth: month, ...(format && { format }) })}`,
    file: `${path}-${month}.${ending}`,
  });
  const report = [
    file("export", "Report, XLSX", "Workspaces, projects, members, users, corrections", "xlsx", "xlsx"),
    file("export", "Report, CSV", "The same rows in one table", "csv", "csv"),
    file("report", "Report, JSON", "The document that existing clients read", "", "json"),
  ];
  if (!hasCharges) return report;
  return [
    file("charges", "Charges, XLSX", "One row per charge line", "xlsx", "xlsx"),
    file("charges", "Charges, CSV", "One row per charge line", "csv", "csv"),
    file("charges", "Charges, FOCUS 1.2", "For FinOps tools", "focus-1.2", "csv"),
    ...report,
  ];
}
