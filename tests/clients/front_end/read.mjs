// Sends queries through Apollo Client with its default cache, and prints each answer three times: as it was on the wire, as
// the client returned it, and as the cache holds it after the last query.
// node read.mjs URL < QUERIES, a JSON array of {query, variables}, with the API key in the environment variable KEY.
import { ApolloClient, HttpLink, InMemoryCache, gql } from '@apollo/client/core/index.js'
import { json } from 'node:stream/consumers'

const [uri] = process.argv.slice(2)
const headers = { authorization: process.env.KEY, 'content-type': 'application/json' }
const client = new ApolloClient({ link: new HttpLink({ uri, headers }), cache: new InMemoryCache() })

async function send(query, variables) {
  const response = await fetch(uri, { method: 'POST', headers, body: JSON.stringify({ query, variables }) })
  return (await response.json()).data
}

function withoutTypenames(value) {
  if (Array.isArray(value)) return value.map(withoutTypenames)
  if (value === null || typeof value !== 'object') return value
  const entries = Object.entries(value).filter(([name]) => name !== '__typename')
  return Object.fromEntries(entries.map(([name, each]) => [name, withoutTypenames(each)]))
}

const answers = []
for await (const { query, variables } of await json(process.stdin)) {
  const wire = await send(query, variables)
  const { data } = await client.query({ query: gql(query), variables })
  answers.push({ query, variables, wire, fetched: withoutTypenames(data) })
}
for (const answer of answers) {
  const { query, variables } = answer
  answer.cached = withoutTypenames(client.readQuery({ query: gql(query), variables }))
}
const keys = Object.keys(client.cache.extract())
console.log(JSON.stringify({ answers, keys }))
