/**
 * The shell of every page that people see: plain, readable on a phone, in light and dark, with nothing from elsewhere.
 * Templates are hono's `html`, which escapes what is put in.
 */
import { html, raw } from 'hono/html';
import type { Tenant } from '../tenants/tenant.ts';
import type { OwnHeaders } from './headers.ts';
import type { Context } from './request.ts';

export type Html = ReturnType<typeof html>;

export type Page = {
  readonly title: string;
  readonly content: Html;
  /** whose page it is; a page of nobody's has no name and no colours */
  readonly tenant?: Pick<Tenant, 'name' | 'branding'> | undefined;
  /** inline script, allowed by its hash */
  readonly script?: string;
  readonly formLeadsOn?: boolean;
};

const STYLE = `
:root { color-scheme: light dark; --back: #f4f5f7; --card: #ffffff; --text: #1b1f24; --soft: #59636e; --line: #d5dae0; --accent: #0b57d0; --on-accent: #ffffff; }
@media (prefers-color-scheme: dark) { :root { --back: #101418; --card: #1a2027; --text: #eceff3; --soft: #a3adb8; --line: #343c46; --accent: #8ab4ff; --on-accent: #0a1a33; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; background: var(--back); color: var(--text); font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; display: flex; flex-direction: column; align-items: center; padding: 8vh 1rem 2rem; }
main { width: 100%; max-width: 30rem; background: var(--card); border: 1px solid var(--line); border-top: 4px solid var(--accent); border-radius: 8px; padding: 1.5rem; }
header { display: flex; align-items: center; gap: .75rem; color: var(--soft); margin-bottom: 1rem; }
header img { max-height: 2.5rem; max-width: 10rem; }
h1 { font-size: 1.35rem; line-height: 1.25; margin: 0 0 .75rem; }
h2 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
p { margin: 0 0 1rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .35rem 1rem; margin: 0 0 1rem; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
ul.groups { list-style: none; padding: 0; margin: 0 0 1.25rem; display: flex; flex-wrap: wrap; gap: .4rem; }
ul.groups li { border: 1px solid var(--line); border-radius: 999px; padding: .1rem .7rem; overflow-wrap: anywhere; }
ul.sessions { list-style: none; padding: 0; margin: 0; display: grid; gap: .75rem; }
ul.sessions li { display: flex; justify-content: space-between; align-items: center; gap: 1rem; }
small { color: var(--soft); }
.button.small { padding: .25rem .8rem; width: auto; }
ul.places { list-style: none; padding: 0; margin: 0; display: grid; gap: .6rem; }
.actions { display: flex; flex-wrap: wrap; gap: .6rem; margin-top: 1.25rem; }
.button { display: inline-block; font: inherit; font-weight: 600; text-decoration: none; cursor: pointer; padding: .55rem 1.1rem; border-radius: 6px; border: 1px solid var(--accent); background: var(--accent); color: var(--on-accent); }
.button.quiet { background: transparent; color: inherit; border-color: var(--line); }
a { color: var(--accent); }
a.button { color: var(--on-accent); }
a.button.quiet { color: inherit; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.reference { color: var(--soft); font-size: .85rem; border-top: 1px solid var(--line); margin: 1.5rem 0 0; padding-top: .75rem; overflow-wrap: anywhere; }
@media (max-width: 26rem) { body { padding-top: 1rem; } dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .5rem; } .button { width: 100%; text-align: center; } .actions form { width: 100%; } }
`;

/** Answers with a page. The status is the caller's. */
export async function sendPage(ctx: Context, page: Page, ownHeaders: OwnHeaders): Promise<void> {
  const brand = brandStyle(page.tenant?.branding.color ?? null);
  const logo = page.tenant?.branding.logo ?? null;
  const document = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${page.title}${page.tenant === undefined ? '' : ` · ${page.tenant.name}`}</title>
<link rel="icon" href="data:,">
<style>${raw(STYLE)}</style>${brand === undefined ? '' : html`<style>${raw(brand)}</style>`}
</head>
<body>
<main>
${page.tenant === undefined ? '' : html`<header>${logo === null ? '' : html`<img src="${logo}" alt="">`}<span>${page.tenant.name}</span></header>`}
<h1>${page.title}</h1>
${page.content}
</main>
${page.script === undefined ? '' : html`<script>${raw(page.script)}</script>`}
</body>
</html>
`;
  ownHeaders(ctx, {
    styles: brand === undefined ? [STYLE] : [STYLE, brand],
    ...(page.script === undefined ? {} : { script: page.script }),
    ...(page.formLeadsOn === undefined ? {} : { formLeadsOn: page.formLeadsOn }),
  });
  ctx.type = 'html';
  ctx.body = String(await document);
}

/** The tenant's colour, with whichever of black and white can be read on it. `color` is `#rrggbb`: the schema says so. */
function brandStyle(color: string | null): string | undefined {
  if (color === null) return undefined;
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => Number.parseInt(color.slice(at, at + 2), 16));
  const isLight = red * 0.299 + green * 0.587 + blue * 0.114 > 150;
  return `main { border-top-color: ${color}; } .button:not(.quiet), a.button:not(.quiet) { background: ${color}; border-color: ${color}; color: ${isLight ? '#000000' : '#ffffff'}; }`;
}
