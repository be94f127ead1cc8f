// @ts-check

export const LICENCES = `
query Licences($month: Month!) {
  chargebackReport(month: $month) {
    users {
      numberOfUsers
      licensedUsers {
        username
        email
        role
        createdAt
        createdAtIsInferred
        deletedAt
        lastUsedAt
        uiUsageCount
        sdkUsageCount
        suspended
        serviceAccount
        numberOfExperiments
        averageSizeInMb
        totalSizeInMb
      }
    }
  }
}`;
