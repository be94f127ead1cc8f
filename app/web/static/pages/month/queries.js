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

export const TREND = `
query Trend($from: Month!, $to: Month!) {
  chargebackReports(from: $from, to: $to) {
    reportDate
    totalSizeInMb
    numberOfExperiments
    numberOfWorkspaces
    unmeasuredExperiments
    users { numberOfUsers }
    charges { currency total }
  }
}`;

export const LARGEST = `
query LargestWorkspaces($month: Month!) {
  chargebackReport(month: $month) {
    workspaces(first: 5, orderBy: SIZE) { name }
  }
}`;

export const SEATS = `
query Seats($month: Month!) {
  chargebackReport(month: $month) {
    users {
      licensedUsers(filter: { serviceAccount: false, suspended: false }) {
        username createdAt lastUsedAt uiUsageCount sdkUsageCount
      }
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
query CostCentres($month: Month!, $before: Month!) {
  report: chargebackReport(month: $month) {
    charges { currency total corrections costCentres { code name amount } }
  }
  before: chargebackReport(month: $before) {
    charges { currency total costCentres { code name amount } }
  }
}`;

const SIZES = "averageSizeInMb totalSizeInMb";
const FIGURES = `numberOfExperiments experimentsCreated ${SIZES}`;

export const WORKSPACES = `
query Workspaces($month: Month!, $before: Month!) {
  report: chargebackReport(month: $month) {
    numberOfExperiments
    totalSizeInMb
    workspaces { workspaceId name numberOfMembers ${FIGURES} }
    formerWorkspaces { workspaceId name numberOfMembers ${FIGURES} }
    corrections { originMonth figure amount workspace }
  }
  before: chargebackReport(month: $before) {
    totalSizeInMb
    workspaces { name ${SIZES} }
    formerWorkspaces { name ${SIZES} }
  }
}`;

export const PROJECTS = `
query Projects($month: Month!, $before: Month!) {
  report: chargebackReport(month: $month) {
    numberOfExperiments
    totalSizeInMb
    workspaces {
      name
      projects { projectId name ${FIGURES} }
      formerProjects { projectId name ${FIGURES} }
    }
    formerWorkspaces { name formerProjects { projectId name ${FIGURES} } }
  }
  before: chargebackReport(month: $before) {
    totalSizeInMb
    workspaces { name projects { name ${SIZES} } formerProjects { name ${SIZES} } }
  }
}`;

export const USERS = `
query Users($month: Month!, $before: Month!) {
  report: chargebackReport(month: $month) {
    numberOfExperiments
    totalSizeInMb
    users {
      licensedUsers { username email suspended serviceAccount deletedAt lastUsedAt ${FIGURES} }
    }
  }
  before: chargebackReport(month: $before) {
    totalSizeInMb
    users { licensedUsers { username ${SIZES} } }
  }
}`;

export const WORKSPACE_PROJECTS = `
query WorkspaceProjects($month: Month!, $before: Month!, $workspace: String!) {
  report: chargebackReport(month: $month) {
    workspace(name: $workspace) {
      ${FIGURES}
      projects { projectId name ${FIGURES} }
      formerProjects { projectId name ${FIGURES} }
    }
  }
  before: chargebackReport(month: $before) {
    workspace(name: $workspace) {
      ${SIZES}
      projects { name ${SIZES} }
      formerProjects { name ${SIZES} }
    }
  }
}`;

export const WORKSPACE_MEMBERS = `
query WorkspaceMembers($month: Month!, $before: Month!, $workspace: String!) {
  report: chargebackReport(month: $month) {
    workspace(name: $workspace) {
      ${FIGURES}
      members { userName email ${FIGURES} user { lastUsedAt suspended serviceAccount } }
      formerMembers { userName email ${FIGURES} }
    }
  }
  before: chargebackReport(month: $before) {
    workspace(name: $workspace) {
      ${SIZES}
      members { userName ${SIZES} }
      formerMembers { userName ${SIZES} }
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
  const workspaces = indexes
    .map((index) => `    workspace${index}: workspace(name: $name${index}) { totalSizeInMb }\n`)
    .join("");
  return `
query StorageByMonth($from: Month!, $to: Month!${parameters}) {
  chargebackReports(from: $from, to: $to) {
    reportDate
    totalSizeInMb
${workspaces}  }
}`;
}
