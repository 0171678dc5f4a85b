import { refuse } from "./errors.ts";
import { equals } from "./python-values.ts";
import { Instance, type List, present, Undefined, type Value } from "./values.ts";

/** What all turns of a loop know together: the values that `loop.changed` was asked about last. */
export interface LoopMemory {
  last: List | undefined;
}

/** The variable `loop` in turn `index` of a loop over `items`. */
export function loopVariable(items: List, index: number, depth: number, memory: LoopMemory): Instance {
  return new Instance("LoopContext", undefined, (name) => {
    switch (name) {
      case "changed":
        return changed(memory);
      case "cycle":
        return cycle(index);
      case "depth":
        return depth;
      case "depth0":
        return depth - 1;
      case "first":
        return index === 0;
      case "index":
        return index + 1;
      case "index0":
        return index;
      case "last":
        return index === items.length - 1;
      case "length":
        return items.length;
      case "nextitem":
        return present(items[index + 1], () => new Undefined("there is no next item"));
      case "previtem":
        return present(items[index - 1], () => new Undefined("there is no previous item"));
      case "revindex":
        return items.length - index;
      case "revindex0":
        return items.length - index - 1;
      default:
        return undefined;
    }
  });
}

function cycle(index: number): Instance {
  return new Instance("method", ({ positional }) =>
    positional.length === 0
      ? refuse("no items for cycling given")
      : (positional[index % positional.length] as Value),
  );
}

function changed(memory: LoopMemory): Instance {
  return new Instance("method", ({ positional }) => {
    const { last } = memory;
    memory.last = positional;
    return (
      last?.length !== positional.length || !positional.every((value, i) => equals(value, last[i] as Value))
    );
  });
}
