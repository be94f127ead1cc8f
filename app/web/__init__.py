"""The HTTP interfaces: GraphQL, REST, GraphiQL, sign-in."""
