/**
 * Something that is there after a long wait. It is an object, and no promise, so that an async function can hand it on
 * and end: what the functions and requests that led to it hold in memory is freed during the wait.
 */
export class Later<T> {
  readonly promise: Promise<T>;

  constructor(promise: Promise<T>) {
    this.promise = promise;
  }
}

export async function whenThere<T>(answer: Promise<T | Later<T>>): Promise<T> {
  const there = await answer;
  return there instanceof Later ? there.promise : there;
}
