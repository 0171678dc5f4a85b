import type { ChatExample } from "../../src/data/chat/chat-rows.ts";
import { createRandom, type Random } from "../../src/util/random.ts";
import { amountOf, drawScene, itemOf, type Scene, sayScene } from "./sentences.ts";

/** A line for each message; an answer begins with a blank, as the demo's tokens do, and ends with the end-of-text token. */
export const CHAT_TEMPLATE = [
  "{%- for message in messages %}",
  "{{- '\n' if not loop.first }}{{ message['role'] }}:",
  "{%- if message['role'] == 'assistant' %}{% generation %} {{ message['content'] }}{{ eos_token }}{% endgeneration %}",
  "{%- else %} {{ message['content'] }}{% endif %}",
  "{%- endfor %}",
  "{{- '\nassistant:' if add_generation_prompt }}",
].join("\n");

/** Options of {@link chatExamples}. */
export interface ChatOptions {
  seed: number;
  count: number;
  /** Held-out chats ("test") never share a scene with those for training. */
  split: "train" | "test";
}

/** One scene in this many is kept for testing. */
const HELD_OUT = 5;

/**
 * Chats of two questions and answers: what a sentence says of one thing, then of another, for which the model has to
 * look behind its own answer. No two have the same first question.
 */
export function chatExamples({ seed, count, split }: ChatOptions): ChatExample[] {
  const random = createRandom(seed).fork(`chat ${split}`);
  const examples = new Map<string, ChatExample>();
  while (examples.size < count) {
    const scene = drawScene(random);
    if (splitOf(scene) !== split) continue;
    const example = makeChat(scene, random);
    examples.set(String(example.messages[0]?.content), example);
  }
  return [...examples.values()];
}

type Fact = readonly [question: string, answer: string];

function makeChat(scene: Scene, random: Random): ChatExample {
  const { who, count, place } = scene;
  const facts: Fact[] = [
    ["Note who.", who],
    ["Note place.", place],
    ["Note item.", itemOf(scene)],
    ["Note count.", String(count)],
  ];
  const [[question, answer], [next, last]] = random.shuffle(facts) as [Fact, Fact];
  return {
    messages: [
      { role: "user", content: `${sayScene(scene, random)} ${question}` },
      { role: "assistant", content: answer },
      { role: "user", content: next },
      { role: "assistant", content: last },
    ],
  };
}

/** Decided by the scene alone, whatever the seed: the splits of any two seeds are disjoint. */
function splitOf(scene: Scene): ChatOptions["split"] {
  const key = `${scene.who} ${amountOf(scene.count, scene)} ${scene.place}`;
  return createRandom(0).fork(key).integer(HELD_OUT) === 0 ? "test" : "train";
}
