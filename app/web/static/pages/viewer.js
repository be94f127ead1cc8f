// @ts-check
// Who is signed in, and what the key may read.

/** @typedef {{ username: string, organization: string, scopes: string[], costCentres: string[] }} Viewer */

export const VIEWER = `
query Viewer {
  viewer { username organization scopes costCentres }
}`;

/** Return whether the key reads statements of its cost centres, and no reports. @param {Viewer} viewer */
export function isStatementKey({ scopes }) {
  return scopes.includes("STATEMENT_READ") && !scopes.includes("REPORT_READ") && !scopes.includes("ADMIN");
}
