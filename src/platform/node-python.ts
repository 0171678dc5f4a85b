/** Names the Python that has the packages wanted. */
const VARIABLE = "WEBGPU_LORA_PYTHON";

/** The Python that is started where one is needed: the first on the path, unless a variable names another one. */
export const python = (): string => process.env[VARIABLE] ?? "python3";

/** What to do where Python lacks a package, or is not there. */
export const NO_PYTHON = (name: string): string =>
  `pip install ${name}, or let ${VARIABLE} name a Python that has it`;
