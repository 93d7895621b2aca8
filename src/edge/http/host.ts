/**
 * Whether a request names one host. The runtime joins two by a comma, and a proxy might have chosen another one of them
 * than this server.
 */
import { ERROR_FACTS } from "../../base/errors.ts";
import { HttpError } from "./problem.ts";

export const hasOneHost = ({ headers }: Request): boolean => headers.get("host")?.includes(",") !== true;

/**
 * @throws HttpError bad_request. It ends the connection, since a proxy and this server may disagree on its requests.
 */
export function checkHost(request: Request): void {
  if (hasOneHost(request)) return;
  throw new HttpError(400, ERROR_FACTS.bad_request.title, "bad_request", "host: expected once, got more than one", {
    connection: "close",
  });
}
