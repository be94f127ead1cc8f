"""What every front door asks: batch resolvers that read rows, and commands that change them."""
