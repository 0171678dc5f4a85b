import { choice, flag, integer, optionalText, text, texts } from "../options.ts";

/** `webgpu-lora sweep`. */
export const SWEEP_OPTIONS = {
  words: texts({
    placeholder: "file",
    help: "a YAML or JSON file of train's options with a `sweep` among them; train's own flags come behind --",
  }),
  grid: texts({
    placeholder: "name=a,b",
    help: "values of an option of train, such as learning_rate=1e-5,1e-4; of several, every combination",
  }),
  search: choice({
    choices: ["grid", "random"],
    fallback: undefined,
    help: "every combination, or some drawn by chance; by default what the file says, or grid",
  }),
  trials: integer({ fallback: undefined, min: 1, help: "trials of a random search" }),
  seed: integer({ fallback: 0, min: 0, help: "seeds the random search" }),
  trial_index: integer({
    fallback: undefined,
    min: 0,
    help: "run this trial alone, from 0; by default what SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX says",
  }),
  ray: optionalText({
    placeholder: "address",
    help: "have a Ray cluster run the trials, such as 10.0.0.1:6379 or auto; a node takes as many at a time as it offers of the resource webgpu",
  }),
  list: flag({ fallback: false, help: "list the trials and what came of them, and run none" }),
  metric: text({
    placeholder: "metric",
    fallback: "loss",
    help: "what trials are compared by: loss, accuracy, f1 and so on, of the rows to judge by where there are some",
  }),
  output_dir: text({
    placeholder: "folder",
    fallback: "sweep",
    help: "where a folder for each trial is made",
  }),
};
