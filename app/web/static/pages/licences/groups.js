// @ts-check
// The groups of licensed users by what is known of their activity.

/** @typedef {"idle" | "active" | "unknown" | "suspended" | "services"} GroupName */
/** @typedef {{ name: GroupName, title: string, note: (days: number) => string, filter: (since: string) => object }} Group */

const PEOPLE = { serviceAccount: false, suspended: false };

/** @type {Group[]} */
export const GROUPS = [
  {
    name: "idle",
    title: "Idle",
    note: (days) => `no activity for ${days} days`,
    filter: (since) => ({ ...PEOPLE, idleSince: since }),
  },
  {
    name: "active",
    title: "In use",
    note: (days) => `active within ${days} days`,
    filter: (since) => ({ ...PEOPLE, activeSince: since }),
  },
  {
    name: "unknown",
    title: "Not known",
    note: (days) => `new, or not measured for ${days} days: not idle`,
    filter: (since) => ({ ...PEOPLE, unknownSince: since }),
  },
  {
    name: "suspended",
    title: "Suspended",
    note: () => "licensed until the account is deleted",
    filter: () => ({ serviceAccount: false, suspended: true }),
  },
  {
    name: "services",
    title: "Service accounts",
    note: () => "programs; free unless a rate charges them",
    filter: () => ({ serviceAccount: true }),
  },
];

/** Return the group that an address names, else the idle ones. @param {string | null} name */
export function chooseGroup(name) {
  return GROUPS.find((each) => each.name === name) ?? GROUPS[0];
}
