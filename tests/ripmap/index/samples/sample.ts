import { Base, type Options } from "./base";
import type { Thing } from './thing';

/** How it is configured. */
export interface Config extends Options { depth: number; run(x: Thing): void }
export type Name = string | Thing;
export enum Color { Red, Green }
export abstract class Store<T> extends Base implements Config {
  private items: Map<string, T> = new Map();
  constructor(readonly name: Name) { super(); }
  add(item: Thing): void { this.items.set(item.id, item as any); item.touch(); }
}
export function load(path: string): Store<Thing> { const s = new Store("x"); s.add(null); return s; }
namespace Inner { export const deep = 1; }
