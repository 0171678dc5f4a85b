import { unsupported } from "./errors.ts";

const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS = [
  ...["January", "February", "March", "April", "May", "June", "July", "August", "September"],
  ...["October", "November", "December"],
];

const two = (value: number) => String(value).padStart(2, "0");
const hour12 = (date: Date) => date.getHours() % 12 || 12;

const DIRECTIVES: Readonly<Record<string, (date: Date) => string | number>> = {
  "%": () => "%",
  A: (date) => DAYS[date.getDay()] as string,
  a: (date) => (DAYS[date.getDay()] as string).slice(0, 3),
  B: (date) => MONTHS[date.getMonth()] as string,
  b: (date) => (MONTHS[date.getMonth()] as string).slice(0, 3),
  d: (date) => two(date.getDate()),
  e: (date) => String(date.getDate()).padStart(2),
  F: (date) => `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`,
  f: (date) => String(date.getMilliseconds() * 1000).padStart(6, "0"),
  H: (date) => two(date.getHours()),
  h: (date) => (MONTHS[date.getMonth()] as string).slice(0, 3),
  I: (date) => two(hour12(date)),
  j: (date) => String(dayOfYear(date)).padStart(3, "0"),
  M: (date) => two(date.getMinutes()),
  m: (date) => two(date.getMonth() + 1),
  n: () => "\n",
  p: (date) => (date.getHours() < 12 ? "AM" : "PM"),
  S: (date) => two(date.getSeconds()),
  T: (date) => `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`,
  t: () => "\t",
  u: (date) => date.getDay() || 7,
  w: (date) => date.getDay(),
  Y: (date) => date.getFullYear(),
  y: (date) => two(date.getFullYear() % 100),
};

/** Python's `strftime` in the C locale, in the time zone of this machine. */
export function strftime(date: Date, format: string): string {
  return format.replace(/%(-?)([\s\S]?)/gu, (found, bare: string, name: string) => {
    const directive = Object.hasOwn(DIRECTIVES, name) ? DIRECTIVES[name] : undefined;
    if (directive === undefined) return unsupported(`${found} in a date`);
    const text = String(directive(date));
    return bare === "" ? text : text.replace(/^[0 ]+(?=.)/, "");
  });
}

function dayOfYear(date: Date): number {
  const start = Date.UTC(date.getFullYear(), 0, 1);
  return 1 + Math.round((Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) - start) / 86_400_000);
}
