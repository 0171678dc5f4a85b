declare module "*.wgsl" {
  const shader: import("./gpu/wgsl.ts").WgslModule;
  export default shader;
}
