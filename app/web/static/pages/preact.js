// @ts-check
// The one import of the vendored library, so that its version stands in one place.
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
