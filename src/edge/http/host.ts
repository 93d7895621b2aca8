/** The host that a request names: once. The runtime joins two by a comma, and two readers of the request could each take another one for it. */
import { ERROR_FACTS } from "../../base/errors.ts";
import { HttpError } from "./problem.ts";

export const hasOneHost = ({ headers }: Request): boolean => headers.get("host")?.includes(",") !== true;

/** @throws HttpError bad_request, and ends the connection: nobody knows whose requests come on it */
export function checkHost(request: Request): void {
  if (hasOneHost(request)) return;
  throw new HttpError(400, ERROR_FACTS.bad_request.title, "bad_request", "host: expected once, got more than one", {
    connection: "close",
  });
}
