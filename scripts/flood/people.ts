/** Users made with an API key: a name and a token. */

export type Person = { user: string; token: string };

export async function makePerson(url: URL, apiKey: string, user: string): Promise<Person> {
  const headers = { "x-api-key": apiKey, "content-type": "application/json" };
  const post = (path: string, body: object) =>
    fetch(new URL(path, url), { method: "POST", headers, body: JSON.stringify(body) });
  const made = await post("/v1/users", { user });
  if (!made.ok) throw new Error(`user ${user}: ${made.status} ${await made.text()}`);
  const answer = await post(`/v1/users/${user}/token`, {});
  if (!answer.ok) throw new Error(`token of ${user}: ${answer.status} ${await answer.text()}`);
  return (await answer.json()) as Person;
}

/** Makes an HTTP call as that user. */
export function callAs(url: URL, person: Person, method: string, path: string, body?: object): Promise<Response> {
  const headers = { authorization: `Bearer ${person.token}`, "content-type": "application/json" };
  return fetch(new URL(path, url), { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
}
