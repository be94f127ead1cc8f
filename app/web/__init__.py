"""The front doors over HTTP: GraphQL, REST, GraphiQL, sign-in."""
