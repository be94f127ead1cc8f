// @ts-check
// The rows of the Month table, made from the query of each view.
import { formatMonth } from "../format.js";
import { COST_CENTRES, PROJECTS, USERS, WORKSPACE_MEMBERS, WORKSPACE_PROJECTS, WORKSPACES } from "./queries.js";

/**
 * @typedef {object} Row
 * @property {string} key
 * @property {string} name
 * @property {string | null} [within]  The workspace of a project.
 * @property {string[]} [tags]
 * @property {string | null} [workspace]  The workspace that the row links to.
 * @property {string} [costCentre]  The cost centre that the row links to; "" for Unassigned.
 * @property {number | null} [members]
 * @property {number | null} [experiments]
 * @property {number | null} [created]
 * @property {number | null} [end]  In MB.
 * @property {number | null} value  The compared figure: the average size in MB, or an amount.
 * @property {number | null} before  That figure in the month before.
 */

/**
 * @typedef {object} View
 * @property {string} query
 * @property {string} column  The name of the first column.
 * @property {string[]} columns  The columns other than the compared figure and its change.
 * @property {(data: any, month: string) => Row[]} toRows
 * @property {string} missing  The text to show when there is no total.
 * @property {(data: any) => boolean} matches  Whether data is the result of this view's query.
 * @property {(data: any, rows: Row[]) => Row | null} toTotal  Null if the view's subject does not exist.
 */

/** @param {any} each */
function figures(each) {
  return {
    experiments: each.numberOfExperiments,
    created: each.experimentsCreated,
    end: each.totalSizeInMb,
    value: sizeOf(each),
  };
}

/** Return the average size or, in an imported month, the size at the end. @param {any} each */
function sizeOf(each) {
  return each.averageSizeInMb ?? each.totalSizeInMb;
}

/**
 * Index figures of the month before by name.
 * @param {any[]} items
 * @param {(item: any) => string} name
 */
function indexSizes(items, name) {
  return new Map(items.map((item) => [name(item), sizeOf(item)]));
}

/** @param {any} data @returns {Row[]} */
export function workspaceRows({ report, before }) {
  const earlier = indexSizes([...before.workspaces, ...before.formerWorkspaces], (each) => each.name);
  const toRow = (/** @type {any} */ each, /** @type {string[]} */ tags) => ({
    key: each.workspaceId,
    name: each.name,
    tags: earlier.has(each.name) ? tags : [...tags, "new"],
    workspace: tags.length ? null : each.name,
    members: each.numberOfMembers,
    ...figures(each),
    before: earlier.get(each.name) ?? null,
  });
  return [
    ...report.workspaces.map((/** @type {any} */ each) => toRow(each, [])),
    ...report.formerWorkspaces.map((/** @type {any} */ each) => toRow(each, ["deleted"])),
  ];
}

/** @param {any} data @returns {Row[]} */
function projectRows({ report, before }) {
  const place = (/** @type {any} */ workspace, /** @type {any} */ project) => `${workspace.name}\n${project.name}`;
  const earlier = new Map(
    before.workspaces.flatMap((/** @type {any} */ workspace) => [
      ...indexSizes([...workspace.projects, ...workspace.formerProjects], (each) => place(workspace, each)),
    ]),
  );
  return [...report.workspaces, ...report.formerWorkspaces].flatMap((workspace) =>
    markFormer(workspace.projects ?? [], workspace.formerProjects).map(([project, tags]) => ({
      key: project.projectId,
      name: project.name,
      within: workspace.name,
      workspace: workspace.name,
      tags,
      ...figures(project),
      before: earlier.get(place(workspace, project)) ?? null,
    })),
  );
}

/** @param {any} data @returns {Row[]} */
function userRows({ report, before }) {
  const earlier = indexSizes(before.users.licensedUsers, (each) => each.username);
  return report.users.licensedUsers.map((/** @type {any} */ user) => ({
    key: user.username,
    name: user.username,
    tags: userTags(user),
    ...figures(user),
    before: earlier.get(user.username) ?? null,
  }));
}

/** @param {any} user */
function userTags(user) {
  return [
    user?.serviceAccount && "service account",
    user?.suspended && "suspended",
    user?.deletedAt && "deleted",
  ].filter(Boolean);
}

/** @param {any} data @returns {Row[]} */
function workspaceProjectRows({ report, before }) {
  const { workspace } = report;
  if (!workspace) return [];
  const old = before.workspace ?? { projects: [], formerProjects: [] };
  const earlier = indexSizes([...old.projects, ...old.formerProjects], (each) => each.name);
  return markFormer(workspace.projects, workspace.formerProjects).map(([project, tags]) => ({
    key: project.projectId,
    name: project.name,
    tags,
    ...figures(project),
    before: earlier.get(project.name) ?? null,
  }));
}

/** @param {any} data @returns {Row[]} */
function workspaceMemberRows({ report, before }) {
  const { workspace } = report;
  if (!workspace) return [];
  const old = before.workspace ?? { members: [], formerMembers: [] };
  const earlier = indexSizes([...old.members, ...old.formerMembers], (each) => each.userName);
  const former = workspace.formerMembers.map((/** @type {any} */ each) => [each, ["former member"]]);
  return [
    ...workspace.members.map((/** @type {any} */ each) => [each, userTags(each.user)]),
    ...former,
  ].map(([member, tags]) => ({
    key: member.userName,
    name: member.userName,
    tags,
    ...figures(member),
    before: earlier.get(member.userName) ?? null,
  }));
}

/**
 * @param {any[]} present
 * @param {any[]} former
 * @returns {[any, string[]][]}
 */
function markFormer(present, former) {
  return [
    ...present.map((each) => /** @type {[any, string[]]} */ ([each, []])),
    ...former.map((each) => /** @type {[any, string[]]} */ ([each, ["deleted"]])),
  ];
}

/** @param {any} data @returns {Row[]} */
function costCentreRows({ report, before }) {
  /** @type {Map<string | null, string>} */
  const earlier = new Map(
    (before.charges?.costCentres ?? []).map((/** @type {any} */ each) => [each.code, each.amount]),
  );
  return (report.charges?.costCentres ?? []).map((/** @type {any} */ each) => ({
    key: each.code ?? "",
    name: each.code ? `${each.code} ${each.name}` : each.name,
    costCentre: each.code ?? "",
    tags: [],
    value: Number(each.amount),
    before: earlier.has(each.code) ? Number(earlier.get(each.code)) : null,
  }));
}

/** @param {any} data @returns {Row | null} */
function costCentreTotal({ report, before }) {
  const { charges } = report;
  if (!charges) return null;
  const earlier = before.charges ? Number(before.charges.total) : null;
  return { key: "total", name: "Total", value: Number(charges.total), before: earlier };
}

/**
 * Return the total row of a report or a workspace. Averages and created experiments are summed
 * from the rows.
 * @param {any} of
 * @param {any} before
 * @param {Row[]} rows
 * @returns {Row | null}
 */
function toTotal(of, before, rows) {
  if (!of) return null;
  const sum = (/** @type {(row: Row) => number | null | undefined} */ read) =>
    rows.reduce((all, row) => all + (read(row) ?? 0), 0);
  return {
    key: "total",
    name: "Total",
    experiments: of.numberOfExperiments,
    created: sum((row) => row.created),
    end: of.totalSizeInMb,
    value: sum((row) => row.value),
    before: before ? sum((row) => row.before) : null,
  };
}

/** @type {View["toTotal"]} */
const reportTotal = ({ report, before }, rows) => toTotal(report, before, rows);
/** @type {View["toTotal"]} */
const workspaceTotal = ({ report, before }, rows) => toTotal(report.workspace, before.workspace, rows);

/** @type {Record<string, View>} */
const VIEWS = {
  workspace: {
    query: WORKSPACES,
    column: "Workspace",
    columns: ["members", "experiments", "created", "end"],
    toRows: workspaceRows,
    matches: (data) => "corrections" in data.report,
    toTotal: reportTotal,
    missing: "There is no report of this month.",
  },
  project: {
    query: PROJECTS,
    column: "Project",
    columns: ["experiments", "created", "end"],
    toRows: projectRows,
    matches: (data) => "workspaces" in data.report && !("corrections" in data.report),
    toTotal: reportTotal,
    missing: "There is no report of this month.",
  },
  user: {
    query: USERS,
    column: "User",
    columns: ["experiments", "created", "end"],
    toRows: userRows,
    matches: (data) => "users" in data.report,
    toTotal: reportTotal,
    missing: "There is no report of this month.",
  },
  "cost-centre": {
    query: COST_CENTRES,
    column: "Cost centre",
    columns: [],
    toRows: costCentreRows,
    matches: (data) => "charges" in data.report,
    toTotal: costCentreTotal,
    missing: "There are no charges in this month.",
  },
};

/** @type {Record<string, View>} */
const WORKSPACE_VIEWS = {
  project: {
    query: WORKSPACE_PROJECTS,
    column: "Project",
    columns: ["experiments", "created", "end"],
    toRows: workspaceProjectRows,
    matches: (data) => "workspace" in data.report && !("members" in (data.report.workspace ?? {})),
    toTotal: workspaceTotal,
    missing: "This workspace does not exist at the end of this month.",
  },
  user: {
    query: WORKSPACE_MEMBERS,
    column: "Member",
    columns: ["experiments", "created", "end"],
    toRows: workspaceMemberRows,
    matches: (data) => "workspace" in data.report && !("projects" in (data.report.workspace ?? {})),
    toTotal: workspaceTotal,
    missing: "This workspace does not exist at the end of this month.",
  },
};

/**
 * Return the view that an address names.
 * @param {string | null} by
 * @param {string | null} workspace
 * @param {boolean} hasCharges  If true, the default view is by cost centre.
 */
export function chooseView(by, workspace, hasCharges) {
  const views = workspace ? WORKSPACE_VIEWS : VIEWS;
  const usual = workspace ? "project" : hasCharges ? "cost-centre" : "workspace";
  const name = by && Object.hasOwn(views, by) ? by : usual;
  return { name, view: views[name] };
}

/**
 * Return one line per origin month of the corrections that a month books.
 * @param {any} data
 */
export function describeCorrections(data) {
  /** @type {{ originMonth: string }[]} */
  const corrections = data?.report?.corrections ?? [];
  const counts = new Map();
  for (const { originMonth } of corrections) counts.set(originMonth, (counts.get(originMonth) ?? 0) + 1);
  return [...counts].map(([month, count]) => ({ month, text: `Corrections of ${formatMonth(month)}`, count }));
}
