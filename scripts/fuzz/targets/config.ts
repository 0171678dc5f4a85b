import { join } from "node:path";
import { elementCount } from "../../../src/gpu/tensor.ts";
import { readText } from "../../../src/io/files/files.ts";
import { parsePythonJson } from "../../../src/io/json/parse.ts";
import { planModel } from "../../../src/models/families.ts";
import { TASKS, type Task } from "../../../src/models/model.ts";
import { shapeWeights } from "../../../src/nn/initial-weights.ts";
import { fail } from "../../../src/util/fail.ts";
import { isObject } from "../../../src/util/json.ts";
import { modelFolders, treeAt } from "../corpus.ts";
import { idleDevice } from "../idle-device.ts";
import { type JsonTree, textOf } from "../json-tree.ts";
import { mutateJson } from "../mutate-json.ts";
import { bytesOf } from "../mutate-text.ts";
import { ensure, folderOf, type Target } from "../target.ts";

let trees: readonly JsonTree[] | undefined;
const device = idleDevice();

/** Of every family and task one config, which is tiny. */
function configs(): readonly JsonTree[] {
  trees ??= modelFolders().map((folder) => treeAt(join(folder, "config.json")));
  return trees;
}

/** `config.json` of every family: a model of shapes can be built of it, for its own task or for another. */
export const config: Target = {
  make(random) {
    const donors = configs();
    const tree = mutateJson(random.pick(donors), random, [random.pick(donors)]);
    const task = random.pick<Task | undefined>([undefined, undefined, undefined, ...TASKS]);
    const files = new Map([["config.json", bytesOf(textOf(tree), random)]]);
    return task === undefined ? files : files.set("task", new TextEncoder().encode(task));
  },
  async read(input) {
    const json = parsePythonJson(await readText(folderOf(input), "config.json"), "config.json");
    if (!isObject(json)) fail("config.json", "is no object", "give that of a model");
    const task = TASKS.find((name) => name === new TextDecoder().decode(input.get("task")));
    const { root, requests } = shapeWeights(device);
    const model = planModel(json, task).build(device, root);
    model.release();
    ensure(requests.length > 0, () => "the model has no weights");
    for (const { name, shape } of requests) {
      const isShape = shape.every((size) => Number.isSafeInteger(size) && size > 0);
      ensure(isShape && Number.isSafeInteger(elementCount(shape)), () => `${name} has the shape [${shape}]`);
    }
    const twice = requests.length - new Set(requests.map(({ name }) => name)).size;
    ensure(twice === 0, () => `${twice} weights are asked for twice`);
    if (task !== undefined)
      ensure(model.task === task, () => `it is for ${model.task}, and ${task} was asked for`);
  },
};
