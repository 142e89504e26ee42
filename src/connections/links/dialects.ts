/** Every dialect. A new one is a file and a line here (and its settings in config/links.ts). */
import type { LinkConfig } from '../../config/links.ts';
import type { JsonObject } from '../../kernel/json.ts';
import type { Result } from '../../kernel/result.ts';
import { chargely } from './chargely.ts';
import type { LinkSaid } from './dialect.ts';
import { frill } from './frill.ts';
import { invoiced } from './invoiced.ts';
import { issuely } from './issuely.ts';

export function readSaid(claims: JsonObject, config: LinkConfig): Result<LinkSaid> {
  switch (config.dialect) {
    case 'invoiced':
      return invoiced.read(claims, config);
    case 'chargely':
      return chargely.read(claims, config);
    case 'frill':
      return frill.read(claims, config);
    case 'issuely':
      return issuely.read(claims, config);
  }
}
