/**
 * A browser as far as the protocol goes: a cookie jar, no redirects followed by itself, the headers of a navigation. It
 * sends every cookie with every request; what real browsers withhold is tested with a real one.
 */
import { request } from 'undici';

export type Reply = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  readonly json: () => Record<string, unknown>;
  readonly location: string;
  readonly setCookies: readonly string[];
};

type Sending = {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string | URLSearchParams;
};

export const NAVIGATION = {
  accept: 'text/html,application/xhtml+xml',
  'sec-fetch-mode': 'navigate',
  'sec-fetch-dest': 'document',
} as const;

export class Visitor {
  readonly cookies = new Map<string, string>();
  readonly #origin: string;

  constructor(origin: string) {
    this.#origin = origin;
  }

  /** As a browser that goes somewhere. */
  go(path: string, sending: Sending = {}): Promise<Reply> {
    return this.send(path, { ...sending, headers: { ...NAVIGATION, ...sending.headers } });
  }

  /** As a browser that posts a form, from another site unless told otherwise. */
  post(
    path: string,
    form: Record<string, string> | URLSearchParams,
    headers: Record<string, string> = {},
  ): Promise<Reply> {
    return this.go(path, { method: 'POST', body: new URLSearchParams(form), headers });
  }

  async send(path: string, { method = 'GET', headers = {}, body }: Sending = {}): Promise<Reply> {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const isForm = body instanceof URLSearchParams;
    const response = await request(path.startsWith('http') ? path : `${this.#origin}${path}`, {
      method: method as 'GET',
      headers: {
        ...(cookie === '' ? {} : { cookie }),
        ...(isForm ? { 'content-type': 'application/x-www-form-urlencoded' } : {}),
        ...headers,
      },
      ...(body === undefined ? {} : { body: String(body) }),
    });
    const text = await response.body.text();
    const setCookies = [response.headers['set-cookie'] ?? []].flat();
    for (const line of setCookies) this.#keep(line);
    const location = response.headers.location;
    return {
      status: response.statusCode,
      headers: response.headers,
      text,
      json: () => JSON.parse(text),
      location: typeof location === 'string' ? location : '',
      setCookies,
    };
  }

  /** The jar as it is, for another visitor to steal. */
  copy(): Visitor {
    const copy = new Visitor(this.#origin);
    for (const [name, value] of this.cookies) copy.cookies.set(name, value);
    return copy;
  }

  #keep(line: string): void {
    const [pair = '', ...attributes] = line.split(';');
    const name = pair.slice(0, pair.indexOf('='));
    const value = pair.slice(pair.indexOf('=') + 1);
    const expires = attributes.find((attribute) => /^ ?expires=/i.test(attribute))?.split('=')[1];
    if (expires !== undefined && Date.parse(expires) < Date.now()) this.cookies.delete(name);
    else this.cookies.set(name, value);
  }
}
