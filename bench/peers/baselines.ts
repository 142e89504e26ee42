/**
 * What the gateway is measured against, each a process of its own: `node baselines.ts <kind> <port> <upstream>`. As little as can be
 * written with the same libraries.
 */
import { createServer } from 'node:http';
import Koa from 'koa';
import { Agent } from 'undici';

const [, , kind, port, target = ''] = process.argv;

function bareKoa(): void {
  const app = new Koa();
  app.use((ctx) => {
    ctx.status = 204;
  });
  app.listen(Number(port), '127.0.0.1');
}

function bareHttp(): void {
  createServer((_, response) => response.writeHead(204).end()).listen(Number(port), '127.0.0.1');
}

function upstream(): void {
  const body = 'x'.repeat(1024);
  createServer((_, response) => response.end(body)).listen(Number(port), '127.0.0.1');
}

function bareDispatch(): void {
  const agent = new Agent({ connections: 256, pipelining: 1 });
  createServer((request, response) => {
    agent.dispatch(
      { origin: target, path: request.url ?? '/', method: 'GET', headers: request.rawHeaders },
      {
        onRequestStart: () => {},
        onResponseStart: (_, status, headers) => void response.writeHead(status, headers),
        onResponseData: (_, chunk) => void response.write(chunk),
        onResponseEnd: () => void response.end(),
        onResponseError: () => void response.destroy(),
      },
    );
  }).listen(Number(port), '127.0.0.1');
}

const kinds: Readonly<Record<string, () => void>> = { bareKoa, bareHttp, upstream, bareDispatch };
kinds[kind ?? '']?.();
