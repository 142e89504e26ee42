/** A real redis-server on a port of its own, without persistence, gone with the test. */
import { type ChildProcess, spawn } from 'node:child_process';
import { freePort } from './gateway.ts';

export type RedisServer = {
  readonly url: string;
  readonly port: number;
  readonly stop: () => Promise<void>;
  readonly start: () => Promise<void>;
  /** stops answering without closing anything */
  readonly freeze: () => void;
  readonly thaw: () => void;
};

export async function openRedis(): Promise<RedisServer> {
  for (let attempt = 0; ; attempt++) {
    const port = await freePort();
    try {
      return await openOn(port);
    } catch (error) {
      if (attempt === 5) throw error;
    }
  }
}

async function openOn(port: number): Promise<RedisServer> {
  let server: ChildProcess = await launch(port);
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    async stop() {
      const ended = new Promise((resolve) => server.once('exit', resolve));
      server.kill('SIGKILL');
      await ended;
    },
    async start() {
      server = await launch(port);
    },
    freeze: () => void server.kill('SIGSTOP'),
    thaw: () => void server.kill('SIGCONT'),
  };
}

function launch(port: number): Promise<ChildProcess> {
  return new Promise((resolve, reject) => {
    const server = spawn(
      'redis-server',
      ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'],
      {
        stdio: ['ignore', 'pipe', 'ignore'],
      },
    );
    server.once('error', reject);
    server.once('exit', () => reject(new Error('redis-server ended at once')));
    server.stdout?.on('data', (chunk: Buffer) => {
      if (chunk.includes('Ready to accept connections')) resolve(server);
    });
  });
}
