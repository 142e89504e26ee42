/** A TCP proxy in front of Redis that can cut, hold back and let go. */
import { connect, createServer, type Socket } from 'node:net';

export type CutProxy = {
  readonly url: string;
  /** no connection comes through or stays */
  readonly cut: () => void;
  /** connections stay, answers are late by so much */
  readonly delay: (ms: number) => void;
  /** connections stay and nothing comes through: what a network that forgot them looks like */
  readonly blackHole: () => void;
  /** connections that come from now on go to another server */
  readonly leadTo: (port: number) => void;
  readonly restore: () => void;
  readonly close: () => Promise<void>;
};

export async function openCutProxy(first: number): Promise<CutProxy> {
  let port = first;
  let mode: 'through' | 'cut' | 'hole' = 'through';
  let delayMs = 0;
  const sockets = new Set<Socket>();
  const holes = new Set<Socket>();
  const server = createServer((client) => {
    if (mode === 'cut') {
      client.destroy();
      return;
    }
    const upstream = connect(port, '127.0.0.1');
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => {}).on('close', () => sockets.delete(socket));
    }
    client.on('data', (chunk) => holes.has(client) || upstream.write(chunk));
    upstream.on('data', (chunk) => {
      if (holes.has(client)) return;
      if (delayMs === 0) client.write(chunk);
      else setTimeout(() => client.write(chunk), delayMs);
    });
    client.on('close', () => upstream.destroy());
    upstream.on('close', () => client.destroy());
  });
  const own = await new Promise<number>((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : 0);
    });
  });
  return {
    url: `redis://127.0.0.1:${own}`,
    cut() {
      mode = 'cut';
      for (const socket of sockets) socket.destroy();
    },
    delay(ms) {
      delayMs = ms;
    },
    blackHole() {
      for (const socket of sockets) holes.add(socket); // those that are open; new ones work
    },
    leadTo(next) {
      port = next;
    },
    restore() {
      mode = 'through';
      delayMs = 0;
    },
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}
