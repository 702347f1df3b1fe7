import type { Express, NextFunction, Request, Response } from 'express';

/** A layer of express's router, of which its types leave out this. */
interface Layer {
  match(path: string): boolean;
}

/** The methods that something is served with at a path; empty: nothing is there. */
function methodsAt(app: Express, path: string): readonly string[] {
  const found = new Set<string>();
  for (const layer of app.router.stack) {
    if (layer.route === undefined || !(layer as unknown as Layer).match(path)) continue;
    for (const { method } of layer.route.stack) found.add(method.toUpperCase());
  }
  if (found.has('GET')) found.add('HEAD');
  return [...found].toSorted();
}

/** Answers a method that a path does not know, and names those that it does, as HTTP wants it. For after all routes. */
export function refuseMethod(app: Express): (request: Request, response: Response, next: NextFunction) => void {
  return (request, response, next) => {
    const allowed = methodsAt(app, request.path).join(', ');
    if (allowed === '') return next();
    const message = `${request.path} takes no ${request.method}, but ${allowed}`;
    response.status(405).set('allow', allowed).json({ code: 'bad-argument', message });
  };
}
