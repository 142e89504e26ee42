/** An app behind the gateway that says what it was told, and does what its path says. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { gzipSync } from 'node:zlib';
import { WebSocketServer } from 'ws';

export type Seen = {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly raw: readonly string[];
};

export type App = {
  readonly url: string;
  readonly seen: Seen[];
  readonly last: () => Seen;
  /** bytes that `/flood` has written */
  flooded: number;
  /** how often a client went away before the end */
  aborted: number;
  readonly close: () => Promise<void>;
};

export async function openApp(): Promise<App> {
  const seen: Seen[] = [];
  const server = createServer((request, response) => {
    seen.push({
      method: request.method ?? '',
      url: request.url ?? '',
      headers: request.headers,
      raw: request.rawHeaders,
    });
    const path = (request.url ?? '').split('?', 1)[0] ?? '';
    const act = ACTS.find(([end]) => path.endsWith(end))?.[1] ?? echo;
    act(request, response, app);
  });
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (socket, request) => {
    seen.push({ method: 'WS', url: request.url ?? '', headers: request.headers, raw: request.rawHeaders });
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const app: App = {
    url: `http://127.0.0.1:${port}`,
    seen,
    last: () => seen.at(-1) as Seen,
    flooded: 0,
    aborted: 0,
    async close() {
      for (const socket of sockets.clients) socket.terminate();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return app;
}

type Act = (request: IncomingMessage, response: ServerResponse, app: App) => void;

const echo: Act = (request, response) => {
  let length = 0;
  request.on('data', (chunk: Buffer) => {
    length += chunk.length;
  });
  request.on('end', () => response.end(`the app got ${length} bytes at ${request.url}`));
};

const ACTS: readonly (readonly [string, Act])[] = [
  [
    '/cookies',
    (_, response) => {
      response.setHeader('Set-Cookie', [
        'a=1; Path=/',
        'b=2',
        '__Host-gatehouse-session-acme=evil; Path=/; Secure',
        '__host-Gatehouse-x=1',
      ]);
      response.setHeader('Connection', 'X-Hop, close');
      response.setHeader('X-Hop', 'gone');
      response.setHeader('Content-Security-Policy', "default-src 'self'");
      response.end('cookies');
    },
  ],
  [
    '/events',
    (request, response, app) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: first\n\n');
      request.on('close', () => {
        app.aborted += 1;
      });
    },
  ],
  ['/never', () => {}],
  ['/cut', (request) => void request.socket.destroy()],
  [
    '/half',
    (_, response) => {
      response.writeHead(200, { 'content-length': '100' });
      response.write('half');
      setTimeout(() => response.destroy(), 20);
    },
  ],
  [
    '/flood',
    (_, response, app) => {
      const chunk = Buffer.alloc(256 * 1024);
      const total = 1024 * 1024 * 1024;
      const more = (): void => {
        while (app.flooded < total) {
          app.flooded += chunk.length;
          if (!response.write(chunk)) return;
        }
        response.end();
      };
      response.on('drain', more);
      more();
    },
  ],
  ['/gzip', (_, response) => void response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync('packed'))],
  [
    '/range',
    (request, response) =>
      void response.writeHead(206, { 'content-range': 'bytes 0-3/10', 'x-range': request.headers.range }).end('0123'),
  ],
  ['/nothing', (_, response) => void response.writeHead(204).end()],
  ['/unchanged', (_, response) => void response.writeHead(304, { etag: '"x"' }).end()],
  [
    '/trailers',
    (_, response) => {
      response.writeHead(200, { Trailer: 'X-Sum' });
      response.write('body');
      response.addTrailers({ 'X-Sum': '7' });
      response.end();
    },
  ],
  ['/teapot', (_, response) => void response.writeHead(418, 'Short and stout').end('no')],
  ['/early', (_, response) => response.writeEarlyHints({ link: '</x>; rel=preload' }, () => response.end('late'))],
];
