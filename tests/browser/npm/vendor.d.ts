// The types of the vendored module, which its package keeps in other files.
export * from "htm/preact";
export { useErrorBoundary } from "preact/hooks";
