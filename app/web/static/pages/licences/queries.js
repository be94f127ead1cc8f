// @ts-check

export const LICENCES = `
query Licences($month: Month!, $since: Date!) {
  chargebackReport(month: $month) {
    charges { currency }
    users {
      numberOfUsers
      usageMeasuredFrom
      idle: subtotal(filter: { serviceAccount: false, suspended: false, idleSince: $since }) {
        numberOfUsers
        amount
      }
      active: subtotal(filter: { serviceAccount: false, suspended: false, activeSince: $since }) {
        numberOfUsers
      }
      unknown: subtotal(filter: { serviceAccount: false, suspended: false, unknownSince: $since }) {
        numberOfUsers
      }
      suspended: subtotal(filter: { serviceAccount: false, suspended: true }) {
        numberOfUsers
        amount
      }
      services: subtotal(filter: { serviceAccount: true }) { numberOfUsers }
    }
  }
}`;

export const USERS = `
query LicensedUsers($month: Month!, $filter: UserFilter!, $first: Int!, $after: String) {
  chargebackReport(month: $month) {
    users {
      licensedUsersConnection(first: $first, after: $after, orderBy: LAST_ACTIVITY, filter: $filter) {
        nodes {
          username
          email
          role
          createdAt
          createdAtIsInferred
          deletedAt
          lastActivityAt
          uiUsageCount
          sdkUsageCount
          numberOfExperiments
          amount
        }
        pageInfo { hasNextPage endCursor }
        totalCount
      }
    }
  }
}`;
