// @ts-check
// The GraphQL documents of the Month page. The "query" links show them unchanged.

export const MONTHS = `
query Months {
  months { month status closedAt closedBy rowsHash importedFrom }
}`;

export const FRESHNESS = `
query Freshness {
  feed(days: 1) { sources { source lastReceivedAt } }
  sources { name lastRun { outcome finishedAt skippedCount } }
}`;

export const HEADLINE = `
query Headline($month: Month!) {
  chargebackReport(month: $month) {
    averageSizeInMb
    totalSizeInMb
    numberOfExperiments
    users { numberOfUsers }
    amount
    charges { currency }
    change {
      averageSizeInMb { absolute percent }
      totalSizeInMb { absolute percent }
      numberOfExperiments { absolute percent }
      numberOfUsers { absolute percent }
      amount { absolute percent }
    }
    previous { reportDate }
  }
}`;

export const TREND = `
query Trend($from: Month!, $to: Month!) {
  chargebackReports(from: $from, to: $to) {
    reportDate
    averageSizeInMb
    totalSizeInMb
    numberOfExperiments
    users { numberOfUsers }
    amount
  }
}`;

export const LARGEST = `
query LargestWorkspaces($month: Month!, $orderBy: WorkspaceOrder!) {
  chargebackReport(month: $month) {
    workspaces(first: 5, orderBy: $orderBy) { name }
  }
}`;

export const SEATS = `
query Seats($month: Month!, $idleSince: Date!) {
  chargebackReport(month: $month) {
    charges { currency }
    users {
      usageMeasuredFrom
      people: subtotal(filter: { serviceAccount: false, suspended: false }) { numberOfUsers }
      idle: subtotal(filter: { serviceAccount: false, suspended: false, idleSince: $idleSince }) {
        numberOfUsers
        amount
      }
    }
  }
}`;

export const ATTENTION = `
query Attention($month: Month!) {
  chargebackReport(month: $month) {
    unmeasuredExperiments
    workspaces(first: 20, orderBy: GROWTH) {
      name
      change { averageSizeInMb { percent } }
    }
    correctionsConnection(first: 0) { totalCount }
    charges { currency costCentres { code amount } }
    chargedToNobody { numberOfUsers amount users(first: 3) { username similarUsername } }
  }
}`;

export const UNLICENSED = `
query ChargedToNobody($month: Month!) {
  chargebackReport(month: $month) {
    chargedToNobody {
      numberOfUsers
      uiUsageCount
      sdkUsageCount
      amount
      users(first: 100) { username uiUsageCount sdkUsageCount amount similarUsername }
    }
  }
}`;

export const CHARGES_BY_MONTH = `
query ChargesByMonth($from: Month!, $to: Month!) {
  chargebackReports(from: $from, to: $to) {
    reportDate
    charges { currency total costCentres { code name amount } }
  }
}`;

export const COST_CENTRES = `
query CostCentres($month: Month!) {
  chargebackReport(month: $month) {
    charges {
      currency
      total
      corrections
      costCentres { code name amount previous { amount } change { absolute percent } }
    }
    previous { amount }
    change { amount { absolute percent } }
  }
}`;

const PAGE = "first: $first, after: $after, orderBy: $orderBy, direction: $direction";
const NAMED = `${PAGE}, filter: { nameContains: $q }`;
const ABOUT_PAGE = "pageInfo { hasNextPage endCursor } totalCount";
const PARAMETERS = "$month: Month!, $first: Int!, $after: String, $direction: Direction!";
const CHANGE = "averageSizeInMb { absolute percent } totalSizeInMb { absolute percent }";
const FIGURES = `numberOfExperiments averageSizeInMb totalSizeInMb
      previous { averageSizeInMb totalSizeInMb }`;
const ITEM = `${FIGURES}
      amount
      change { presence ${CHANGE} }`;
const TOTAL = `${FIGURES}
    change { ${CHANGE} }`;
const REPORT_TOTAL = `${TOTAL}
    amount
    charges { corrections rates { code name measure amount } }
    correctionsConnection(first: 0) { totalCount }`;

export const WORKSPACES = `
query Workspaces(${PARAMETERS}, $orderBy: WorkspaceOrder!, $q: String) {
  chargebackReport(month: $month) {
    workspacesConnection(${NAMED}) {
      nodes {
      workspaceId name numberOfMembers
      ${ITEM}
      }
      ${ABOUT_PAGE}
    }
  }
}`;

export const WORKSPACES_TOTAL = `
query WorkspacesTotal($month: Month!) {
  chargebackReport(month: $month) {
    ${REPORT_TOTAL}
    formerWorkspaces {
      workspaceId name numberOfMembers
      ${ITEM}
    }
  }
}`;

export const PROJECTS = `
query Projects(${PARAMETERS}, $orderBy: ProjectOrder!, $q: String) {
  chargebackReport(month: $month) {
    projectsConnection(${NAMED}) {
      nodes {
      projectId name workspace
      ${ITEM}
      }
      ${ABOUT_PAGE}
    }
  }
}`;

export const PROJECTS_TOTAL = `
query ProjectsTotal($month: Month!) {
  chargebackReport(month: $month) {
    ${REPORT_TOTAL}
    formerProjects {
      projectId name workspace
      ${ITEM}
    }
  }
}`;

export const USERS = `
query Users(${PARAMETERS}, $orderBy: UserOrder!, $q: String) {
  chargebackReport(month: $month) {
    users {
      licensedUsersConnection(${PAGE}, filter: { usernameContains: $q }) {
        nodes {
        username suspended serviceAccount deletedAt
        ${ITEM}
        }
        ${ABOUT_PAGE}
      }
    }
  }
}`;

export const USERS_TOTAL = `
query UsersTotal($month: Month!) {
  chargebackReport(month: $month) {
    ${REPORT_TOTAL}
  }
}`;

export const WORKSPACE_PROJECTS = `
query WorkspaceProjects(${PARAMETERS}, $orderBy: ProjectOrder!, $q: String, $workspace: String!) {
  chargebackReport(month: $month) {
    workspace(name: $workspace) {
      projectsConnection(${NAMED}) {
        nodes {
        projectId name
        ${ITEM}
        }
        ${ABOUT_PAGE}
      }
    }
  }
}`;

export const WORKSPACE_PROJECTS_TOTAL = `
query WorkspaceProjectsTotal($month: Month!, $workspace: String!) {
  chargebackReport(month: $month) {
    workspace(name: $workspace) {
      ${TOTAL}
      amount
      formerProjects {
        projectId name
        ${ITEM}
      }
    }
  }
}`;

export const WORKSPACE_MEMBERS = `
query WorkspaceMembers(${PARAMETERS}, $orderBy: MemberOrder!, $workspace: String!) {
  chargebackReport(month: $month) {
    workspace(name: $workspace) {
      membersConnection(${PAGE}) {
        nodes {
        userName user { suspended serviceAccount }
        ${ITEM}
        }
        ${ABOUT_PAGE}
      }
    }
  }
}`;

export const WORKSPACE_MEMBERS_TOTAL = `
query WorkspaceMembersTotal($month: Month!, $workspace: String!) {
  chargebackReport(month: $month) {
    workspace(name: $workspace) {
      ${TOTAL}
      amount
      formerMembers {
        userName
        ${ITEM}
      }
    }
  }
}`;

/**
 * Return the query of the storage chart: the total of each month, and some workspaces by name.
 * @param {number} count
 */
export function chartQuery(count) {
  const indexes = Array.from({ length: count }, (_, index) => index);
  const parameters = indexes.map((index) => `, $name${index}: String!`).join("");
  const sizes = "averageSizeInMb totalSizeInMb";
  const workspaces = indexes
    .map((index) => `    workspace${index}: workspace(name: $name${index}) { ${sizes} }\n`)
    .join("");
  return `
query StorageByMonth($from: Month!, $to: Month!${parameters}) {
  chargebackReports(from: $from, to: $to) {
    reportDate
    ${sizes}
${workspaces}  }
}`;
}
