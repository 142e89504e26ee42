/**
 * What operators watch, in Prometheus' text form, on the private listener only. Every label has a bound: statuses are classes, events and
 * outcomes are our own words, and past a number of tenants the rest is counted together. Children are bound once, so that counting a
 * request costs next to nothing.
 */
import cluster from 'node:cluster';
import { AggregatorRegistry, Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { CountFetch } from '../connections/oidc/provider.ts';
import type { Audit, EventFields, EventName } from '../kernel/events.ts';

/** Each is one time series for each outcome; operators of more look into the log. */
const TENANTS_MAX = 1_000;
const REST = 'other';
const REQUEST_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const STORE_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25];

export type Metrics = {
  readonly request: (status: number, seconds: number) => void;
  /** counts what it is told, and tells it on */
  readonly counting: (audit: Audit) => Audit;
  /** times what it is given, and counts what fails */
  readonly timing: <T extends object>(what: 'store' | 'idp', parts: T, names: readonly (keyof T)[]) => T;
  /** a document of a provider was asked for */
  readonly fetched: CountFetch;
  /** @param count asked whenever somebody looks */
  readonly gauge: (name: 'tenants' | 'streams' | 'sessions_at_hand', help: string, count: () => number) => void;
  readonly text: () => Promise<string>;
  readonly contentType: string;
};

export function createMetrics(): Metrics {
  const registry = new Registry();
  if (cluster.isWorker) {
    AggregatorRegistry.setRegistries(registry);
    new AggregatorRegistry(); // it listens to the primary, who asks for the numbers of all
  }
  collectDefaultMetrics({ register: registry });
  const requests = createRequestMetrics(registry);
  const events = createEventMetrics(registry);
  const durations = {
    store: histogram(registry, 'gatehouse_store_seconds', 'Time that a store operation took.', STORE_SECONDS),
    idp: histogram(
      registry,
      'gatehouse_idp_request_seconds',
      'Time that a request to a provider took.',
      REQUEST_SECONDS,
    ),
  };

  const documents = new Counter({
    name: 'gatehouse_idp_documents_total',
    help: 'Documents that were fetched from providers: discovery, and keys.',
    labelNames: ['document', 'outcome'],
    registers: [registry],
  });

  return {
    request: requests,
    fetched: (document, outcome) => documents.inc({ document, outcome }),
    counting: (audit) => (event, fields) => {
      events(event, fields);
      audit(event, fields);
    },
    timing: (what, parts, names) => timed(parts, names, durations[what]),
    gauge(name, help, count) {
      new Gauge({
        name: `gatehouse_${name}`,
        help,
        aggregator: name === 'tenants' ? 'max' : 'sum', // every worker serves all tenants
        registers: [registry],
        collect() {
          this.set(count());
        },
      });
    },
    text: () => registry.metrics(),
    contentType: registry.contentType,
  };
}

/** Those of all workers together. */
export function createWorkersMetrics(): Pick<Metrics, 'text' | 'contentType'> {
  const registry = new AggregatorRegistry();
  return { text: () => registry.clusterMetrics(), contentType: registry.contentType };
}

function histogram(registry: Registry, name: string, help: string, buckets: readonly number[]): Histogram<'outcome'> {
  return new Histogram({ name, help, labelNames: ['outcome'], buckets: [...buckets], registers: [registry] });
}

function createRequestMetrics(registry: Registry): Metrics['request'] {
  const seconds = new Histogram({
    name: 'gatehouse_request_seconds',
    help: 'Time from a request to the end of its answer, by class of status.',
    labelNames: ['status'],
    buckets: REQUEST_SECONDS,
    registers: [registry],
  });
  const classes = [1, 2, 3, 4, 5].map((hundred) => seconds.labels(`${hundred}xx`));
  return (status, took) => classes[Math.floor(status / 100) - 1]?.observe(took);
}

function createEventMetrics(registry: Registry): (event: EventName, fields: EventFields) => void {
  const all = new Counter({
    name: 'gatehouse_events_total',
    help: 'Events of the log, by name.',
    labelNames: ['event'],
    registers: [registry],
  });
  const signIns = new Counter({
    name: 'gatehouse_sign_ins_total',
    help: 'Finished sign-ins by tenant and outcome: succeeded, or the code of the refusal.',
    labelNames: ['tenant', 'outcome'],
    registers: [registry],
  });
  const known = new Set<string>();
  const nameOf = (tenant: string): string => {
    if (known.size < TENANTS_MAX) known.add(tenant);
    return known.has(tenant) ? tenant : REST;
  };
  const ended = new Counter({
    name: 'gatehouse_sessions_ended_total',
    help: 'Sessions that were ended, by what ended them; those that ran out are not counted.',
    labelNames: ['reason'],
    registers: [registry],
  });
  return (event, { tenant, error, reason }) => {
    all.inc({ event });
    if (event === 'session.ended') ended.inc({ reason: String(reason) });
    if (tenant === undefined || !event.startsWith('sign_in.')) return;
    if (event === 'sign_in.succeeded') signIns.inc({ tenant: nameOf(tenant), outcome: 'succeeded' });
    if (event === 'sign_in.refused') signIns.inc({ tenant: nameOf(tenant), outcome: String(error) });
  };
}

/** The same parts; these answer as before, and are timed. */
function timed<T extends object>(parts: T, names: readonly (keyof T)[], durations: Histogram<'outcome'>): T {
  const [good, bad] = [durations.labels('ok'), durations.labels('failed')];
  const result = { ...parts };
  for (const name of names) {
    const part: unknown = parts[name];
    if (typeof part !== 'function') continue;
    const measured = (...args: unknown[]): unknown => {
      const startedAt = performance.now();
      const done = (child: typeof good): void => child.observe((performance.now() - startedAt) / 1000);
      const answer: unknown = Reflect.apply(part, parts, args);
      if (answer instanceof Promise)
        answer.then(
          (value: unknown) => done(value instanceof Response && value.status >= 500 ? bad : good),
          () => done(bad),
        );
      return answer;
    };
    Reflect.set(result, name, measured);
  }
  return result;
}
