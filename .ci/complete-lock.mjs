// Adds to package-lock.json the optional packages of other platforms that the registry in use lacks: npm drops them
// from the lock, and then `npm ci` refuses it everywhere. Written as npm would, but for the checksums.
import { readFileSync, writeFileSync } from "node:fs";

const lock = JSON.parse(readFileSync("package-lock.json", "utf8"));
const { packages } = lock;
const wanted = Object.entries(packages).filter(
  ([path, { optionalDependencies }]) => path && optionalDependencies,
);
for (const [, { optionalDependencies, dev }] of wanted) {
  for (const [name, version] of Object.entries(optionalDependencies)) {
    packages[`node_modules/${name}`] ??= entry(name, version, dev);
  }
}
lock.packages = Object.fromEntries(Object.entries(packages).sort(([a], [b]) => a.localeCompare(b, "en")));
writeFileSync("package-lock.json", `${JSON.stringify(lock, null, 2)}\n`);

function entry(name, version, dev) {
  const match = /(android|darwin|linux|win32)-(arm64|x64)(?:-(musl|glibc))?$/.exec(name);
  if (!match) throw new Error(`${name} is missing from the lock, and its name tells no platform`);
  const [, os, cpu, libc] = match;
  console.log(`added ${name}@${version}`);
  return {
    version,
    cpu: [cpu],
    ...(dev && { dev }),
    ...(libc && { libc: [libc] }),
    optional: true,
    os: [os],
  };
}
