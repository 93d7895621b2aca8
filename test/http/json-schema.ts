/** Holds a value against a schema of the OpenAPI document, strictly: a field that is not documented is a fault. */
type Schema = {
  $ref?: string;
  type?: string;
  enum?: unknown[];
  oneOf?: Schema[];
  allOf?: Schema[];
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: Schema;
  items?: Schema;
  minimum?: number;
  maximum?: number;
  pattern?: string;
};
export type Document = {
  openapi: string;
  info: { title: string; version: string };
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema>; securitySchemes: Record<string, unknown> };
};
export type Operation = {
  operationId: string;
  summary: string;
  parameters?: { name: string; in: string; required: boolean; schema: Schema }[];
  requestBody?: { required: boolean; content: Record<string, { schema: Schema }> };
  responses: Record<string, { description: string; content?: Record<string, { schema: Schema }> }>;
  security: Record<string, string[]>[];
};

/** @returns what is wrong, each with its place; nothing when the value is as documented. */
export function faultsOf(value: unknown, schema: Schema, document: Document, at = "$"): string[] {
  if (schema.$ref !== undefined) return faultsOf(value, resolved(schema.$ref, document), document, at);
  if (schema.oneOf !== undefined) return faultsOfUnion(value, schema.oneOf, document, at);
  // How the generator adds a description to a reference.
  if (schema.allOf !== undefined) {
    const parts = schema.allOf.filter((part) => part.$ref !== undefined || part.type !== undefined);
    return parts.flatMap((part) => faultsOf(value, part, document, at));
  }
  if (schema.enum !== undefined && !schema.enum.includes(value))
    return [`${at}: ${String(value)} is not one of the documented values`];
  switch (schema.type) {
    case "object":
      return faultsOfObject(value, schema, document, at);
    case "array":
      if (!Array.isArray(value)) return [`${at}: not an array`];
      return value.flatMap((item, index) => faultsOf(item, schema.items ?? {}, document, `${at}[${index}]`));
    case "string":
      if (typeof value !== "string") return [`${at}: not a string`];
      return schema.pattern === undefined || new RegExp(schema.pattern).test(value)
        ? []
        : [`${at}: not ${schema.pattern}`];
    case "integer":
    case "number":
      return faultsOfNumber(value, schema, at);
    case "boolean":
      return typeof value === "boolean" ? [] : [`${at}: not a boolean`];
    default:
      return [`${at}: the schema has no type`];
  }
}

export function resolved(ref: string, document: Document): Schema {
  const schema = document.components.schemas[ref.replace("#/components/schemas/", "")];
  if (schema === undefined) throw new Error(`${ref} is not in the document`);
  return schema;
}

function faultsOfUnion(value: unknown, options: Schema[], document: Document, at: string): string[] {
  const faults = options.map((option) => faultsOf(value, option, document, at));
  return faults.filter((list) => list.length === 0).length === 1
    ? []
    : [`${at}: not exactly one of the options`, ...faults.flat()];
}

function faultsOfObject(value: unknown, schema: Schema, document: Document, at: string): string[] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return [`${at}: not an object`];
  const missing = (schema.required ?? []).filter((key) => !(key in value)).map((key) => `${at}.${key}: missing`);
  return [
    ...missing,
    ...Object.entries(value).flatMap(([key, field]) => faultsOfField(key, field, schema, document, at)),
  ];
}

function faultsOfField(key: string, field: unknown, schema: Schema, document: Document, at: string): string[] {
  const documented = schema.properties?.[key] ?? schema.additionalProperties;
  return documented === undefined
    ? [`${at}.${key}: not documented`]
    : faultsOf(field, documented, document, `${at}.${key}`);
}

function faultsOfNumber(value: unknown, schema: Schema, at: string): string[] {
  if (typeof value !== "number" || (schema.type === "integer" && !Number.isInteger(value)))
    return [`${at}: not a ${schema.type}`];
  const isInside = value >= (schema.minimum ?? value) && value <= (schema.maximum ?? value);
  return isInside ? [] : [`${at}: ${value} is outside its bounds`];
}
