/**
 * `npm start`: the gateway, exactly as in production, and beside it a demo identity provider and a demo application for the
 * shipped `config/`.
 * The gateway speaks from 127.0.0.1 and the provider from localhost: two sites to a browser, as in real life.
 */
import cluster from 'node:cluster';
import { parseSettings } from '../src/config/settings.ts';
import { createTenantFolder } from '../src/config/tenant-folder.ts';
import { main } from '../src/main.ts';
import { sitesOf, urls } from '../src/tenants/tenant.ts';
import { openDemoApp } from './app.ts';
import { openIdp, type Person } from './idp.ts';

const IDP_PORT = 3001; // the shipped tenants name it as their issuer
const APP_PORT = 3002; // and this as their upstream

const PEOPLE: readonly Person[] = [
  {
    sub: 'ada',
    email: 'ada@acme.example',
    name: 'Ada Admin',
    preferred_username: 'ada',
    given_name: 'Ada',
    family_name: 'Admin',
    locale: 'en-GB',
    zoneinfo: 'Europe/London',
    roles: ['BillingAdmin', 'invoice-readers'],
  },
  {
    sub: 'ben',
    email: 'ben@acme.example',
    name: 'Ben Bookkeeper',
    locale: 'nl-NL',
    zoneinfo: 'Europe/Amsterdam',
    roles: ['invoice-readers', 'chess-club'], // no group knows the second one
  },
];

async function startDemo(): Promise<void> {
  const settings = parseSettings(process.env);
  if (cluster.isWorker) return; // the primary has them
  if ('problems' in settings || process.env.CONFIG_DIR) return; // somebody else's tenants have their own providers
  const { configDir, production, publicUrl } = settings;
  const folder = createTenantFolder({
    configDir,
    environment: process.env,
    production,
    publicHost: publicUrl.hostname,
  });
  await folder.scan();
  const files = folder.files();
  const clients = new Map<string, { clientId: string; redirectUris: string[]; signOutUris: string[] }>();
  for (const file of files) {
    if (file.oidc?.issuer !== `http://localhost:${IDP_PORT}`) continue;
    const clientId = file.oidc.client_id; // two tenants may share one
    const client = clients.get(clientId) ?? { clientId, redirectUris: [], signOutUris: [] };
    const sites = sitesOf({ slug: file.slug ?? file.id, hosts: file.hosts }, settings.publicUrl);
    client.redirectUris.push(...sites.map((site) => urls.callback(file, site)));
    client.signOutUris.push(...sites.map((site) => urls.signOut(file, site)));
    clients.set(clientId, client);
  }
  await openDemoApp(APP_PORT);
  await openIdp({ port: IDP_PORT, people: PEOPLE, clients: [...clients.values()] });
  process.stderr.write(`\n  The demo is ready: open ${settings.publicUrl.origin}/\n\n`);
}

await main();
await startDemo().catch((error: Error) => process.stderr.write(`The demo could not start: ${error.message}\n`));
