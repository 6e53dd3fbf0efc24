// Small typed readers of JSON: an answer that has another shape than docs/hub-api.md says is an error that names the
// place, not an `undefined` somewhere in the page.

export type Decoder<T> = (value: unknown, path: string) => T;
export type Decoded<D> = D extends Decoder<infer T> ? T : never;

export class ShapeError extends Error {
  constructor(path: string, wanted: string, value: unknown) {
    const shown = JSON.stringify(value) ?? "nothing";
    super(`${path}: expected ${wanted}, got ${shown.length > 60 ? `${shown.slice(0, 60)}…` : shown}`);
    this.name = "ShapeError";
  }
}

export const text: Decoder<string> = (value, path) => {
  if (typeof value !== "string") throw new ShapeError(path, "a text", value);
  return value;
};

export const number: Decoder<number> = (value, path) => {
  if (typeof value !== "number") throw new ShapeError(path, "a number", value);
  return value;
};

/** A measured value: a number, or the text of one that JSON numbers cannot hold (`"NaN"`, `"9007199254740993"`). */
export const value: Decoder<number> = (value, path) => {
  if (typeof value === "string" && /^(NaN|-?Infinity|-?\d{1,20})$/.test(value)) return Number(value);
  return number(value, path);
};

export const flag: Decoder<boolean> = (value, path) => {
  if (typeof value !== "boolean") throw new ShapeError(path, "true or false", value);
  return value;
};

/** Nanoseconds, written as a decimal string since numbers lose them. */
export const nanos: Decoder<bigint> = (value, path) => {
  if (typeof value !== "string" || !/^-?\d{1,20}$/.test(value)) {
    throw new ShapeError(path, "nanoseconds as a decimal string", value);
  }
  return BigInt(value);
};

export const anything: Decoder<unknown> = (value) => value;

export function list<T>(item: Decoder<T>): Decoder<T[]> {
  return (value, path) => {
    if (!Array.isArray(value)) throw new ShapeError(path, "a list", value);
    return value.map((one, index) => item(one, `${path}[${index}]`));
  };
}

/** `null` and a field that is not there are both `null`. */
export function nullable<T>(inner: Decoder<T>): Decoder<T | null> {
  return (value, path) => (value === null || value === undefined ? null : inner(value, path));
}

export function oneOf<const W extends string>(...words: W[]): Decoder<W> {
  return (value, path) => {
    const found = words.find((word) => word === value);
    if (found === undefined) throw new ShapeError(path, `one of ${words.join(", ")}`, value);
    return found;
  };
}

/** Further fields are left out: a newer hub may have more. */
export function object<F extends Record<string, Decoder<unknown>>>(
  fields: F,
): Decoder<{ [K in keyof F]: Decoded<F[K]> }> {
  return (value, path) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new ShapeError(path, "an object", value);
    }
    const source = value as Record<string, unknown>;
    const result: Record<string, unknown> = {};
    for (const [name, decoder] of Object.entries(fields)) {
      result[name] = decoder(source[name], path === "" ? name : `${path}.${name}`);
    }
    return result as { [K in keyof F]: Decoded<F[K]> };
  };
}

/** An object whose names are not known before. */
export const record: Decoder<Record<string, unknown>> = (value, path) => {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new ShapeError(path, "an object", value);
  }
  return value as Record<string, unknown>;
};
