/**
 * What the gateway tells its operator: one line per event, with the names of contract section 8 and the fields of this table and no others.
 * Rooms get an `Audit` passed in and know nothing of logs; whose request it was is added where lines are made (serve.ts).
 */
type Shape = {
  /** refusals and what needs an eye are warnings, so that `LOG_LEVEL=warn` still shows them */
  readonly level: 'info' | 'warn';
  /** always there */
  readonly fields: readonly string[];
  /** there where it applies */
  readonly may?: readonly string[];
  /** and what the reason needs: names, lengths, times (kernel/failure.ts) */
  readonly evidence?: true;
};

export const EVENTS = {
  'sign_in.started': { level: 'info', fields: [], may: ['rounds'] },
  'sign_in.restarted': { level: 'info', fields: ['reason', 'rounds'], evidence: true },
  'sign_in.succeeded': { level: 'info', fields: ['sub', 'groups', 'connection'] },
  'sign_in.refused': { level: 'warn', fields: ['error', 'reason'], evidence: true },
  'claims.dropped': { level: 'warn', fields: ['claim'] },
  sign_out: { level: 'info', fields: ['sub'] },
  'sign_out.ordered': { level: 'info', fields: ['by', 'ended'] },
  'sign_out.refused': { level: 'warn', fields: ['error', 'reason'], may: ['by'], evidence: true },
  'session.ended': { level: 'info', fields: ['sub', 'session', 'reason'] },
  'groups.changed': { level: 'info', fields: ['sub', 'added', 'removed'] },
  'renewal.started': { level: 'info', fields: [] },
  'renewal.succeeded': { level: 'info', fields: ['sub'] },
  'renewal.failed': { level: 'warn', fields: ['reason', 'session_ended'] },
  'user.provisioned': { level: 'info', fields: ['sub', 'connection'] },
  'tenant.changed': {
    level: 'info',
    fields: ['change', 'enabled', 'tenant_urls', 'redirect_uris', 'logout_uris'],
  },
  'tenant.refused': { level: 'warn', fields: ['problems', 'goes_on_as_before'] },
  'idp.keys_stale': { level: 'warn', fields: ['issuer', 'reason'] },
} as const satisfies Record<string, Shape>;

export type EventName = keyof typeof EVENTS;

export const shapeOf = (event: EventName): Shape => EVENTS[event];

export type EventFields = {
  readonly tenant?: string | undefined;
  readonly request_id?: string | undefined;
  readonly client?: string | undefined;
  readonly [field: string]: unknown;
};

export type Audit = (event: EventName, fields: EventFields) => void;
