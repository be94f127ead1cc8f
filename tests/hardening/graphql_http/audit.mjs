// Run the audits of graphql-http against a service and print their results as one JSON array.
// Usage: KEY=<API key> node audit.mjs URL
import { auditServer } from 'graphql-http'

const [url] = process.argv.slice(2)

function withKey(address, options) {
  const headers = { ...options?.headers, authorization: process.env.KEY }
  return fetch(address, { ...options, headers })
}

const results = await auditServer({ url, fetchFn: withKey })
const summaries = results.map(({ id, name, status, reason }) => ({ id, name, status, reason }))
console.log(JSON.stringify(summaries))
