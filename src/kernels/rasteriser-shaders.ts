// What pays where the invocations of a workgroup run one after the other.

export { default as attentionDecode } from "../../shaders/attention-decode-subgroup.wgsl";
export { default as attention } from "../../shaders/attention-subgroup.wgsl";
export { default as attentionBackward } from "../../shaders/attention-subgroup-backward.wgsl";
export { default as branchGradients } from "../../shaders/branch-gradients.wgsl";
export { default as codePanels } from "../../shaders/code-panels.wgsl";
export { default as matmulTexels } from "../../shaders/matmul-texels.wgsl";
export { default as matvecCodes } from "../../shaders/matvec-codes.wgsl";
export { default as matvecPanels } from "../../shaders/matvec-panels.wgsl";
export { default as packOperand } from "../../shaders/pack-operand.wgsl";
export { default as panels } from "../../shaders/panels.wgsl";
