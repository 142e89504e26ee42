/**
 * What the gateway tells its operator: one line per event, with the names of contract section 8. Rooms get an `Audit`
 * passed in and know nothing of logs.
 */
export type EventName =
  | 'sign_in.started'
  | 'sign_in.restarted'
  | 'sign_in.succeeded'
  | 'sign_in.refused'
  | 'sign_out'
  | 'sign_out.ordered'
  | 'sign_out.refused'
  | 'session.ended'
  | 'groups.changed'
  | 'renewal.started'
  | 'renewal.succeeded'
  | 'renewal.failed'
  | 'claims.dropped'
  | 'user.provisioned'
  | 'tenant.changed'
  | 'tenant.refused'
  | 'idp.keys_stale';

export type EventFields = {
  readonly tenant?: string | undefined;
  readonly request_id?: string | undefined;
  readonly client?: string | undefined;
  readonly [field: string]: unknown;
};

export type Audit = (event: EventName, fields: EventFields) => void;
