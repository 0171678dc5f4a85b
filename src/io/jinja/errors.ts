/** What a template does that Python's Jinja2 refuses, too. The message is complete but for the template's name. */
export class TemplateError extends Error {
  override readonly name = "TemplateError";
  /** Whether the template itself refuses, by `raise_exception`. */
  readonly raised: boolean;
  /** Whether Jinja2 would do it, and it is only not done here. */
  readonly unsupported: boolean;

  constructor(message: string, { raised = false, unsupported = false } = {}) {
    super(message);
    this.raised = raised;
    this.unsupported = unsupported;
  }
}

/** Throws what is an error in Jinja2, too. */
export function refuse(message: string): never {
  throw new TemplateError(message);
}

/** Throws: Jinja2 could do this. */
export function unsupported(what: string): never {
  throw new TemplateError(`${what} is not supported`, { unsupported: true });
}
