import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { startHttpServer, type HttpServer } from "./http-server.ts";
import { resolved, type Operation } from "./json-schema.ts";

let server: HttpServer;
beforeAll(async () => {
  server = await startHttpServer();
});
afterAll(() => server.stop());

const operations = (): { path: string; method: string; operation: Operation }[] =>
  Object.entries(server.document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );

/** Every object inside a value, with its place. */
function* objectsIn(value: unknown, at = "#"): Generator<[string, Record<string, unknown>]> {
  if (typeof value !== "object" || value === null) return;
  if (!Array.isArray(value)) yield [at, value as Record<string, unknown>];
  for (const [key, inner] of Object.entries(value)) yield* objectsIn(inner, `${at}/${key}`);
}

describe("/openapi.json", () => {
  test("is OpenAPI 3.1 with the server's version", () => {
    expect(server.document.openapi).toMatch(/^3\.1\.\d+$/);
    expect(server.document.info).toMatchObject({ title: "Parley", version: "1.2.3" });
  });

  test("has the calls of this version, and no others", () => {
    expect(
      operations()
        .map(({ method, path }) => `${method.toUpperCase()} ${path}`)
        .sort(),
    ).toEqual([
      "DELETE /v1/groups/{id}",
      "DELETE /v1/groups/{id}/members/{user}",
      "GET /healthz",
      "GET /readyz",
      "GET /v1/conversations",
      "GET /v1/conversations/{address}",
      "GET /v1/conversations/{address}/messages",
      "GET /v1/entries",
      "GET /v1/groups/{id}",
      "GET /v1/me/erasure",
      "GET /v1/route",
      "GET /v1/route/{address}",
      "GET /v1/users/{user}/erasure",
      "PATCH /v1/groups/{id}",
      "POST /v1/groups",
      "POST /v1/login",
      "POST /v1/logout",
      "POST /v1/me/erasure",
      "POST /v1/messages",
      "POST /v1/register",
      "POST /v1/sync",
      "POST /v1/users",
      "POST /v1/users/{user}/erasure",
      "POST /v1/users/{user}/token",
      "PUT /v1/groups/{id}/members/{user}",
    ]);
  });

  test("every reference leads to a schema, and every named schema is used", () => {
    const refs = [...objectsIn(server.document)].flatMap(([, { $ref }]) => (typeof $ref === "string" ? [$ref] : []));
    const mapped = [...objectsIn(server.document)].flatMap(([at, object]) =>
      at.endsWith("/mapping") ? Object.values(object) : [],
    );
    for (const ref of [...refs, ...(mapped as string[])]) expect(resolved(ref, server.document)).toBeDefined();
    const used = new Set(refs.map((ref) => ref.replace("#/components/schemas/", "")));
    expect(Object.keys(server.document.components.schemas).filter((name) => !used.has(name))).toEqual([]);
  });

  test("every call has a name of its own, a summary, an answer, and says who may make it", () => {
    const names = operations().map(({ operation }) => operation.operationId);
    expect(new Set(names).size).toBe(names.length);
    for (const { operation } of operations()) {
      expect(operation.summary.length).toBeGreaterThan(5);
      expect(Object.keys(operation.responses).some((status) => status.startsWith("2"))).toBe(true);
      for (const response of Object.values(operation.responses)) expect(response.description).not.toBe("");
      const schemes = operation.security.flatMap((requirement) => Object.keys(requirement));
      for (const scheme of schemes) expect(server.document.components.securitySchemes).toHaveProperty(scheme);
    }
  });

  test("every parameter of a path is described as one, required, with a type", () => {
    for (const { path, operation } of operations()) {
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      const parameters = operation.parameters ?? [];
      expect(parameters.filter((parameter) => parameter.in === "path").map(({ name }) => name)).toEqual(
        inPath as string[],
      );
      for (const parameter of parameters) {
        expect(parameter.schema.type).toBeString();
        expect(parameter.required).toBe(parameter.in === "path");
      }
    }
  });

  test("every problem is application/problem+json of the one shape, and a call with a token can be refused one", () => {
    for (const { operation } of operations()) {
      for (const [status, { content }] of Object.entries(operation.responses)) {
        if (Number(status) < 400) continue;
        expect(content).toEqual({ "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } });
      }
      expect("401" in operation.responses || operation.security.length === 0).toBe(true);
    }
  });

  test("says which bodies may be left out, and the defaults and bounds of numbers", () => {
    const find = (id: string) => operations().find(({ operation }) => operation.operationId === id)?.operation;
    expect(find("sendMessage")?.requestBody?.required).toBe(true);
    expect(find("createToken")?.requestBody?.required).toBe(false);
    const limit = find("listMessages")?.parameters?.find(({ name }) => name === "limit");
    expect(limit?.schema).toMatchObject({ type: "integer", minimum: 1, maximum: 200, default: 30 });
  });
});
