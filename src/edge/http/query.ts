/**
 * Paths and queries of a request line. Bun passes on URLs without an origin (HTTP/1.0), which `new URL` does not read.
 */
import { AppError } from "../../base/errors.ts";
import { shown } from "./invalid.ts";

/** The path of a request, still percent-encoded. */
export function pathOf(url: string): string {
  const from = url.startsWith("/") ? 0 : Math.max(0, url.indexOf("/", url.indexOf("://") + 3));
  const end = url.slice(from).search(/[?#]/);
  return end === -1 ? url.slice(from) : url.slice(from, from + end);
}

/**
 * The query's parameters; empty ones count as absent (`?before=&limit=5`).
 * @throws AppError bad_request for a parameter that is given twice
 */
export function queryOf(url: string): Record<string, string> {
  const from = url.indexOf("?");
  const query: Record<string, string> = Object.create(null);
  if (from === -1) return query;
  for (const [name, value] of new URLSearchParams(url.slice(from + 1))) {
    if (Object.hasOwn(query, name)) throw new AppError("bad_request", `${shown(name)}: given more than once`);
    if (value !== "") query[name] = value;
  }
  return query;
}

/** @throws AppError bad_request for a `%` that does not begin valid UTF-8 */
export function checkPercentEncoding(url: string): void {
  if (!url.includes("%")) return;
  try {
    decodeURIComponent(url);
  } catch (cause) {
    throw new AppError("bad_request", "url: malformed percent-encoding", { cause });
  }
}
