/** `gatehouse schema`: the JSON Schema of a tenant's file, made from the schema that reads it. */
import { z } from 'zod';
import { tenantFileSchema } from '../config/tenant-file.ts';

export function runSchema(print: (text: string) => void): void {
  const schema = z.toJSONSchema(tenantFileSchema, { io: 'input', unrepresentable: 'any' });
  print(`${JSON.stringify({ title: "Gatehouse: a tenant's file", ...schema }, null, 2)}\n`);
}
