// @ts-check
// The views of the Month table: by workspace, project, user or member. The server sorts, filters and pages.
import * as queries from "./queries.js";

/** @typedef {{ absolute: number | null, percent: number | null }} Change  Amounts are strings, which `toChange` converts. */
/**
 * @typedef {object} Row
 * @property {string} key
 * @property {string} name
 * @property {string | null} [within]  The workspace of a project.
 * @property {string[]} [tags]
 * @property {boolean} [isPast]  It no longer exists at the report's end.
 * @property {string | null} [workspace]  The workspace that the row links to.
 * @property {string} [costCentre]  The cost centre that the row links to; "" for Unassigned.
 * @property {number | null} [members]
 * @property {number | null} [experiments]
 * @property {number | null} [end]  In MB.
 * @property {number | null} value  The compared figure: the average size in MB, or an amount.
 * @property {number | null} before  That figure in the month before.
 * @property {Change} change
 * @property {number | null} [amount]
 */
/** @typedef {import("../ui/pages.js").Connection} Connection */
/**
 * @typedef {object} View
 * @property {string} column  The name of the first column.
 * @property {string[]} facts  The columns between the name and the compared figure.
 * @property {Record<string, string>} orders  GraphQL's order of each column that can be sorted.
 * @property {string} query  Reads a page of rows.
 * @property {string} totalQuery  Reads the total and what no longer exists.
 * @property {boolean} isSearched
 * @property {(data: any) => Connection | null} toConnection  Null if the view's subject does not exist.
 * @property {(item: any) => Row} toRow
 * @property {(data: any) => { of: any, former: Row[] } | null} toTotal
 * @property {string[]} measures  The measures whose charges the rows' amounts contain.
 */

const STORED = { experiments: "EXPERIMENTS", end: "SIZE", value: "AVERAGE_SIZE", change: "GROWTH" };
const BY_NAME = { name: "NAME", ...STORED };
const BY_USERNAME = { name: "USERNAME", ...STORED };
const WORKSPACE_MEASURES = ["STORAGE", "EXPERIMENTS_CREATED"];
const USER_MEASURES = ["SEATS", "SERVICE_ACCOUNTS", "UI_USES", "SDK_USES"];

/** Return the average size or, in an imported month, the size at the end. @param {any} each */
export function sizeOf(each) {
  return each.averageSizeInMb ?? each.totalSizeInMb;
}

/** Return the change of `sizeOf`. @param {any} each @returns {Change} */
export function sizeChangeOf(each) {
  return each.averageSizeInMb == null ? each.change.totalSizeInMb : each.change.averageSizeInMb;
}

/** @param {{ absolute: string | null, percent: number | null }} change @returns {Change} */
export function toChange({ absolute, percent }) {
  return { absolute: absolute == null ? null : Number(absolute), percent };
}

/** @param {any} each */
export function toFigures(each) {
  return {
    members: each.numberOfMembers,
    experiments: each.numberOfExperiments,
    end: each.totalSizeInMb,
    value: sizeOf(each),
    before: each.previous && sizeOf(each.previous),
    change: sizeChangeOf(each),
    amount: each.amount == null ? null : Number(each.amount),
  };
}

/** @param {any} each @param {string[]} tags */
function tagsOf(each, tags = []) {
  return each.change.presence === "NEW" ? [...tags, "new"] : tags;
}

/** @param {any} workspace @returns {Row} */
function workspaceRow(workspace) {
  const { workspaceId, name } = workspace;
  return { key: workspaceId, name, tags: tagsOf(workspace), workspace: name, ...toFigures(workspace) };
}

/** @param {any} project @returns {Row} */
function projectRow(project) {
  const { projectId, name, workspace } = project;
  return { key: projectId, name, within: workspace, workspace, tags: tagsOf(project), ...toFigures(project) };
}

/** @param {any} user */
function statesOf(user) {
  return [
    user?.serviceAccount && "service account",
    user?.suspended && "suspended",
    user?.deletedAt && "deleted",
  ].filter(Boolean);
}

/** @param {any} user @returns {Row} */
function userRow(user) {
  return { key: user.username, name: user.username, tags: tagsOf(user, statesOf(user)), ...toFigures(user) };
}

/** @param {any} member @returns {Row} */
function memberRow(member) {
  const tags = tagsOf(member, statesOf(member.user));
  return { key: member.userName, name: member.userName, tags, ...toFigures(member) };
}

/** @param {Row} row @param {string} tag @returns {Row} */
function toPast(row, tag) {
  return { ...row, tags: [tag], isPast: true, workspace: row.within ?? null };
}

/**
 * @param {{ of: any, former?: any[] }} total
 * @param {(item: any) => Row} toRow
 * @param {string} tag
 */
function toTotal({ of, former = [] }, toRow, tag = "deleted") {
  return of && { of, former: former.map((each) => toPast(toRow(each), tag)) };
}

/** @type {Record<string, View>} */
const VIEWS = {
  workspace: {
    column: "Workspace",
    facts: ["members", "experiments", "end"],
    orders: BY_NAME,
    query: queries.WORKSPACES,
    totalQuery: queries.WORKSPACES_TOTAL,
    isSearched: true,
    toConnection: ({ chargebackReport: report }) => report.workspacesConnection,
    toRow: workspaceRow,
    toTotal: ({ chargebackReport: report }) => toTotal({ of: report, former: report.formerWorkspaces }, workspaceRow),
    measures: WORKSPACE_MEASURES,
  },
  project: {
    column: "Project",
    facts: ["experiments", "end"],
    orders: BY_NAME,
    query: queries.PROJECTS,
    totalQuery: queries.PROJECTS_TOTAL,
    isSearched: true,
    toConnection: ({ chargebackReport: report }) => report.projectsConnection,
    toRow: projectRow,
    toTotal: ({ chargebackReport: report }) => toTotal({ of: report, former: report.formerProjects }, projectRow),
    measures: WORKSPACE_MEASURES,
  },
  user: {
    column: "User",
    facts: ["experiments", "end"],
    orders: BY_USERNAME,
    query: queries.USERS,
    totalQuery: queries.USERS_TOTAL,
    isSearched: true,
    toConnection: ({ chargebackReport: report }) => report.users.licensedUsersConnection,
    toRow: userRow,
    toTotal: ({ chargebackReport: report }) => toTotal({ of: report }, userRow),
    measures: USER_MEASURES,
  },
};

/** @type {Record<string, View>} */
const WORKSPACE_VIEWS = {
  project: {
    column: "Project",
    facts: ["experiments", "end"],
    orders: BY_NAME,
    query: queries.WORKSPACE_PROJECTS,
    totalQuery: queries.WORKSPACE_PROJECTS_TOTAL,
    isSearched: true,
    toConnection: ({ chargebackReport: { workspace } }) => workspace?.projectsConnection ?? null,
    toRow: projectRow,
    toTotal: ({ chargebackReport: { workspace } }) =>
      toTotal({ of: workspace, former: workspace?.formerProjects }, projectRow),
    measures: WORKSPACE_MEASURES,
  },
  user: {
    column: "Member",
    facts: ["experiments", "end"],
    orders: BY_USERNAME,
    query: queries.WORKSPACE_MEMBERS,
    totalQuery: queries.WORKSPACE_MEMBERS_TOTAL,
    isSearched: false,
    toConnection: ({ chargebackReport: { workspace } }) => workspace?.membersConnection ?? null,
    toRow: memberRow,
    toTotal: ({ chargebackReport: { workspace } }) =>
      toTotal({ of: workspace, former: workspace?.formerMembers }, memberRow, "former member"),
    measures: WORKSPACE_MEASURES,
  },
};

export const COST_CENTRE = "cost-centre";

/**
 * Return the name of the view that an address names, and the view; null for cost centres.
 * @param {string | null} by
 * @param {string | null} workspace
 * @param {boolean} hasCharges  If true, the default view is by cost centre.
 * @returns {{ name: string, view: View | null }}
 */
export function chooseView(by, workspace, hasCharges) {
  const views = workspace ? WORKSPACE_VIEWS : VIEWS;
  if (by && Object.hasOwn(views, by)) return { name: by, view: views[by] };
  if (!workspace && (by === COST_CENTRE || hasCharges)) return { name: COST_CENTRE, view: null };
  const usual = workspace ? "project" : "workspace";
  return { name: usual, view: views[usual] };
}
