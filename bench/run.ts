/**
 * `npm run bench`: how fast, always as a ratio to something that is measured in the same run on the same machine. Needs
 * `redis-server` and `wrk`; `peers` compares with nginx and Apache's mod_auth_openidc where they are installed. Nothing here is a test: figures depend on the machine, ratios less so.
 */
import { benchLogout } from './logout.ts';
import { benchMemory } from './memory.ts';
import { benchPeers } from './peers/peers.ts';
import { benchScale } from './scale.ts';
import { benchSignIn } from './sign-in.ts';
import { benchStorm } from './storm.ts';

const benches = {
  memory: benchMemory,
  'sign-in': benchSignIn,
  peers: benchPeers,
  logout: benchLogout,
  storm: benchStorm,
  scale: benchScale,
};
const wanted = process.argv.slice(2);
for (const [name, bench] of Object.entries(benches)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  process.stdout.write(`\n${name}\n`);
  for (const line of await bench()) process.stdout.write(`  ${line}\n`);
}
process.exit(0);
