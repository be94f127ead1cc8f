// @ts-check
// Re-export the vendored library, so that only this file names its version.
export {
  html,
  render,
  useCallback,
  useEffect,
  useErrorBoundary,
  useMemo,
  useRef,
  useState,
} from "/static/vendor/htm-3.1.1/standalone.module.js";
