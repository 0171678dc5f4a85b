declare module "*.wgsl" {
  const shader: import("./gpu/wgsl.ts").WgslModule;
  export default shader;
}

declare module "*.py" {
  const text: string;
  export default text;
}
