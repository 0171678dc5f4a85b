import * as ops from "../autograd/ops.ts";
import { scoped, type Tensor } from "../gpu/tensor.ts";
import { type Context, call, type Module, runLayer } from "./module.ts";
import { takesSum } from "./norm.ts";

/** A residual stream whose last branch is not added yet: the norm that comes next can do that in its own pass. */
export interface Stream {
  readonly x: Tensor;
  readonly branch?: Tensor | undefined;
}

/** A layer that takes such a stream and leaves one. */
export interface StreamLayer extends Module {
  /** False where something of the pass has to see a sum that is not computed then. */
  takesStream(context: Context): boolean;
  forwardStream(stream: Stream, context: Context): Stream;
}

/** x + branch. */
export function closed({ x, branch }: Stream, { tape }: Context): Tensor {
  return branch ? ops.add(tape, x, branch) : x;
}

/** Layers one after the other, in the precision of the pass, then what follows them once (a norm, mostly), in f32. */
export function stack(path: string, layers: readonly Module[], after: readonly Module[] = []): Module {
  return {
    path,
    children: [...layers, ...after],
    forward(x, context) {
      const { tape, precision } = context;
      const first = precision === "mixed" ? ops.cast(tape, x, "f16") : x;
      let stream: Stream = { x: first };
      for (const layer of layers) {
        const input = stream;
        stream = runOn(layer, input, context);
        const kept = [first.storage, stream.x.storage, stream.branch?.storage];
        for (const used of [input.x, input.branch]) // the tape alone holds what it has saved of it
          if (used && !kept.includes(used.storage)) x.device.memory.letGo(used.storage);
        tape?.endLayer();
      }
      const [norm, ...rest] = after;
      if (stream.branch && precision !== "mixed" && takesSum(norm, context)) {
        const { y } = norm.ofSum(stream.x, stream.branch, context);
        return rest.reduce((y, module) => call(module, y, context), y);
      }
      const end = ops.cast(tape, closed(stream, context), "f32");
      return after.reduce((y, module) => call(module, y, context), end);
    },
  };
}

/** Runs one layer so that its intermediate tensors die with it, unless a tape keeps them. */
function runOn(layer: Module, stream: Stream, context: Context): Stream {
  if (!isStreamLayer(layer) || !takesStreams(layer, context)) {
    return { x: runLayer(layer, closed(stream, context), context) };
  }
  const [x, branch] = scoped(stream.x.device, () => {
    const after = layer.forwardStream(stream, context);
    return after.branch ? [after.x, after.branch] : [after.x];
  });
  return { x: x as Tensor, branch };
}

const isStreamLayer = (layer: Module): layer is StreamLayer => "forwardStream" in layer;

/** Whoever looks at the outputs of layers, computes them again, or rounds them, needs each as one tensor. */
function takesStreams(layer: StreamLayer, context: Context): boolean {
  const { watch, checkpoint, adapters, tape } = context;
  const isSeen = watch !== undefined || adapters?.wraps.has(layer);
  return !isSeen && !(tape && (checkpoint || tape.rounds)) && layer.takesStream(context);
}
