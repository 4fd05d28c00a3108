#!/usr/bin/env bash
source ./lib.sh
LIMIT=3
# Says hello to one person.
greet() {
  local name="$1"
  echo "hello there ${name}"
  log_line "$LIMIT"
}
function main { greet "world"; }
main
