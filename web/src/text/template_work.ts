/**
 * Bounds what a chat template may do: it is another's program, and two nested loops would run for ever. Work is counted, not timed, so that the same
 * conversation always has the same outcome.
 */

import { Environment, Interpreter } from "@huggingface/jinja";
import { strftime } from "./strftime";

/** Steps for any conversation, for each character of it as JSON, and at most: some seconds. Gemma 4's template takes about a hundred for a message, and more for many. */
const LEAST_WORK = 1_000_000;
const WORK_FOR_CHARACTER = 200;
const MOST_WORK = 30_000_000;
/** Characters or values of one text, list or object, those inside of it counted as often as they would be written. */
export const LARGEST_VALUE = 2 ** 26;
/** Of a text, that are worth a step. */
const CHARACTERS_OF_A_STEP = 256;
/** Of a list that exists already. */
const ITEMS_OF_A_STEP = 64;

/** How many steps a template may take for a conversation of so many characters. */
export function workFor(characters: number): number {
  return Math.min(MOST_WORK, LEAST_WORK + WORK_FOR_CHARACTER * characters);
}

/** What makes lists and objects anew. */
const MAKERS = new Set(["CallExpression", "FilterExpression", "BinaryExpression", "ArrayLiteral", "TupleLiteral", "ObjectLiteral"]);

type Statement = Parameters<Interpreter["evaluate"]>[0];
type Value = ReturnType<Interpreter["evaluate"]>;
type Program = Parameters<Interpreter["run"]>[0];

/** `work`: how many steps it may take. Throws Error where it takes more, and whatever the template does. */
export function render(program: Program, variables: Record<string, unknown>, work: number): string {
  const environment = new Environment();
  for (const [name, value] of Object.entries({ ...GLOBALS, ...variables })) environment.set(name, value);
  return String(new CountingInterpreter(environment, work).run(program).value);
}

/** As Jinja and transformers have them. */
const GLOBALS = {
  true: true, false: false, none: null, True: true, False: false, None: null,
  raise_exception: (message: string) => {
    throw new Error(message);
  },
  range,
  strftime_now: (format: string) => strftime(new Date(), format),
};

function range(start: number, stop?: number, step = 1): number[] {
  const [first, end] = stop === undefined ? [0, start] : [start, stop];
  if (![first, end, step].every(Number.isInteger) || step === 0) throw new Error("range() takes whole numbers, and a step that is not 0");
  const length = Math.max(0, Math.ceil((end - first) / step));
  if (length > LEAST_WORK) throw new Error(`range() has ${length} numbers, and at most ${LEAST_WORK} are made here`);
  return Array.from({ length }, (_, i) => first + i * step);
}

class CountingInterpreter extends Interpreter {
  private done = 0;
  /** Of lists and objects, which never change, how large they are with all that is in them. */
  private readonly sizes = new WeakMap<object, number>();

  constructor(
    environment: Environment,
    private readonly work: number,
  ) {
    super(environment);
  }

  override evaluate(statement: Statement, environment: Environment): Value {
    this.spend(1);
    const value = super.evaluate(statement, environment);
    const isMade = statement !== undefined && MAKERS.has(statement.type);
    if (isMade && this.sizeOf(value) > LARGEST_VALUE) throw new Error(`a value has more than ${LARGEST_VALUE} characters or parts, which is the most that a template may make here`);
    this.spend(costOf(value, isMade));
    if (value.type === "NamespaceValue" && isMade) checkNamespace(value);
    if (statement?.type === "Set") this.checkSet((statement as unknown as { assignee: Assignee }).assignee, environment);
    return value;
  }

  private spend(steps: number): void {
    this.done += steps;
    if (this.done > this.work) throw new Error(`it took more than ${this.work} steps, which is the most that a template may take for such a conversation`);
  }

  private sizeOf(value: Value): number {
    const { value: content } = value as { value: unknown };
    if (typeof content === "string") return content.length;
    if (typeof content !== "object" || content === null) return 1;
    if (value.type === "NamespaceValue") return 1;
    const known = this.sizes.get(content);
    if (known !== undefined) return known;
    const parts = (content instanceof Map ? [...content.values()] : content) as Value[];
    this.spend(parts.length / ITEMS_OF_A_STEP);
    let size = 1;
    for (const part of parts) {
      if (part.type === "NamespaceValue") throw new Error("a namespace inside of a list or an object is not supported");
      size += this.sizeOf(part);
    }
    this.sizes.set(content, size);
    return size;
  }

  private checkSet(assignee: Assignee, environment: Environment): void {
    if (assignee.type === "MemberExpression" && assignee.object.type === "Identifier") checkNamespace(super.evaluate(assignee.object, environment));
  }
}

/** What is assigned to. */
type Assignee = NonNullable<Statement> & { object: NonNullable<Statement> };

/** Of namespaces inside of something alone could come what contains itself, or grows when its size is known. */
function checkNamespace({ value }: { value: unknown }): void {
  const parts = [...(value as Map<string, Value>).values()];
  if (parts.some(({ type }) => type === "NamespaceValue")) throw new Error("a namespace inside of another is not supported");
}

function costOf({ value }: { value: unknown }, isMade: boolean): number {
  if (typeof value === "string") return value.length / CHARACTERS_OF_A_STEP;
  const items = Array.isArray(value) ? value.length : value instanceof Map ? value.size : 0;
  return isMade ? items : items / ITEMS_OF_A_STEP;
}
