/**
 * Answers of calls that wait, such as long polls. Such a call is answered by a place-holder, so that all that has led to
 * it ends and is freed: the request, the router's context, a chain of promises. The answer takes its place when it is
 * there.
 */
export class LaterAnswers {
  readonly #answers = new WeakMap<Response, Promise<Response>>();

  /** @param answer never rejects */
  placeHolder(answer: Promise<Response>): Response {
    const placeHolder = new Response(null);
    this.#answers.set(placeHolder, answer);
    return placeHolder;
  }

  /** The answer, if the response holds the place of one. */
  of(response: Response): Promise<Response> | undefined {
    return this.#answers.get(response);
  }
}
