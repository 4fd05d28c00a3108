import React, { useState as use, useEffect } from './react';
import * as path from "path";
const fs = require('fs');
export { helper } from './helper.js';

/** Says hello to everybody. */
export class Greeter extends Base {
  #secret = 1;
  /** Greets one person. */
  greet(name) {
    if (!name) throw new GreetingError("name must not be empty");
    return this.format(name);
  }
}
function make(kind) { const g = new Greeter(); return g.greet(kind); }
export const arrow = (x) => make(x);
module.exports.old = function (a) { return fs.readFileSync(a); };
const LIMIT = 10;
