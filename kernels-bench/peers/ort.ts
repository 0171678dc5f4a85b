// onnxruntime-node's WebGPU provider, which brings a WebGPU of its own. It has no gradients.
// Its Node binding copies every input to the device and every output back. So that no copy counts, inputs are constants
// of the model, which lie on the device from the start, and all that comes back is the first element of the output.
import { type Engine, importPeer, type Prepared } from "./engine.ts";
import { encodeOnnx, type OnnxNode, type OnnxTensor } from "./onnx.ts";
import { EPS, type HostTensor, input, ropeTables, type Work } from "./work.ts";

interface OrtTensor {
  readonly data: Float32Array;
}

interface OrtSession {
  run(feeds: Record<string, never>): Promise<Record<string, OrtTensor>>;
  release(): Promise<void>;
}

interface Ort {
  InferenceSession: { create(model: Uint8Array, options: object): Promise<OrtSession> };
}

/** Opens the library; its device is the system's, as Dawn picks it. */
export async function ortEngine(version: string): Promise<Engine> {
  const { default: ort } = await importPeer<{ default: Ort }>("onnxruntime-node");
  return {
    name: "onnxruntime-node",
    version,
    async prepare(work) {
      const graph = graphOf(work);
      return graph && prepareGraph(ort, graph);
    },
  };
}

interface Graph {
  nodes: OnnxNode[];
  constants: OnnxTensor[];
}

const constant = (name: string, { shape, values }: HostTensor): OnnxTensor => ({ name, shape, values });
const node = (op: string, inputs: string[], output: string, rest: Partial<OnnxNode> = {}): OnnxNode => ({
  op,
  inputs,
  outputs: [output],
  ...rest,
});

/** A graph whose result is called `y`, for what the provider can compute. */
function graphOf(work: Work): Graph | undefined {
  if ("direction" in work && work.direction !== "forward") return undefined;
  switch (work.kind) {
    case "matmul": {
      const shape = [work.n, work.n];
      const constants = [constant("a", input(shape, 1)), constant("b", input(shape, 2))];
      return { nodes: [node("MatMul", ["a", "b"], "y")], constants };
    }
    case "rms-norm": {
      const constants = [
        constant("x", input([work.rows, work.cols], 1)),
        constant("w", input([work.cols], 2)),
      ];
      const attributes = { axis: 1, epsilon: { float: EPS } };
      return { nodes: [node("SimplifiedLayerNormalization", ["x", "w"], "y", { attributes })], constants };
    }
    case "swiglu": {
      const shape = [work.rows, work.cols];
      const constants = [constant("gate", input(shape, 1)), constant("up", input(shape, 2))];
      const silu = node("QuickGelu", ["gate"], "s", {
        domain: "com.microsoft",
        attributes: { alpha: { float: 1 } },
      });
      return { nodes: [silu, node("Mul", ["s", "up"], "y")], constants };
    }
    case "rope": {
      const { cos, sin } = ropeTables(work.tokens, work.headDim);
      const positions = BigInt64Array.from({ length: work.tokens }, (_, i) => BigInt(i));
      const x = input([1, work.tokens, work.heads * work.headDim], 1);
      const constants = [
        constant("x", x),
        { name: "positions", shape: [1, work.tokens], values: positions },
        constant("cos", cos),
        constant("sin", sin),
      ];
      const attributes = { num_heads: work.heads, rotary_embedding_dim: work.headDim };
      const inputs = ["x", "positions", "cos", "sin"];
      return {
        nodes: [node("RotaryEmbedding", inputs, "y", { domain: "com.microsoft", attributes })],
        constants,
      };
    }
    case "attention": {
      const shape = [1, work.tokens, work.heads * work.headDim];
      const constants = ["q", "k", "v"].map((name, i) => constant(name, input(shape, i + 1)));
      const attributes = { num_heads: work.heads, unidirectional: 1 };
      const rest = { domain: "com.microsoft", attributes };
      return { nodes: [node("MultiHeadAttention", ["q", "k", "v"], "y", rest)], constants };
    }
    default:
      return undefined;
  }
}

async function prepareGraph(ort: Ort, { nodes, constants }: Graph): Promise<Prepared> {
  // Without optimisation, because constants would be folded: the work would be done once, on the CPU.
  const options = {
    executionProviders: ["webgpu"],
    graphOptimizationLevel: "disabled",
    logSeverityLevel: 3,
  };
  const open = (model: Uint8Array) => ort.InferenceSession.create(model, options);
  const whole = await open(encodeOnnx({ nodes, constants, outputs: ["y"] }));
  const flat = integers("flat", [-1n]);
  const [start, end] = [integers("start", [0n]), integers("end", [1n])];
  const first = [node("Reshape", ["y", "flat"], "line"), node("Slice", ["line", "start", "end"], "first")];
  const timed = await open(
    encodeOnnx({
      nodes: [...nodes, ...first],
      constants: [...constants, flat, start, end],
      outputs: ["first"],
    }),
  );
  return {
    async outputs() {
      const { y } = await whole.run({});
      await whole.release();
      return [(y as OrtTensor).data];
    },
    start() {
      const running = timed.run({});
      return async () => {
        await running;
      };
    },
    release() {
      timed.release();
    },
  };
}

function integers(name: string, values: bigint[]): OnnxTensor {
  return { name, shape: [values.length], values: BigInt64Array.from(values) };
}
