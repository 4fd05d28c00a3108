#!/usr/bin/env bash
# git (seen with 2.39.5): one commit with an old date hides everything before it from --since.
#
# Expected: `git log --since=DATE` lists the commits of a revision that are newer than DATE, whatever stands between them.
# Seen:     it goes from child to parent and stops at the first commit that is older: a commit made on a machine with a wrong clock, or one
#           whose dates a tool set, cuts off all of history before it, and as the newest commit leaves nothing: 0 instead of 5. Where a
#           merged branch leads around it, all is shown, so equal dates give other counts. rev-list --count and shortlog stop
#           there too, without a word. --since-as-filter (git 2.37) does what is expected.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 HOME="$folder"
git init --quiet .
git symbolic-ref HEAD refs/heads/main
commit() {
  GIT_AUTHOR_DATE="$1T12:00:00Z" GIT_COMMITTER_DATE="$1T12:00:00Z" \
    git -c user.name=Ana -c user.email=ana@example.org commit --quiet --allow-empty --message "$1"
}
count() { git log "$1" --format=%h | wc -l | tr -d ' '; }

for day in 1 2 3 4 5; do commit "2026-03-0$day"; done
git --version
before="$(count --since=2026-01-01)"
commit 1999-12-31
newest="$(count --since=2026-01-01)"
commit 2026-03-06
next="$(count --since=2026-01-01)"
counted="$(git rev-list --count --since=2026-01-01 main)"
short="$(git shortlog --summary --since=2026-01-01 main | awk '{print $1}')"
filtered="$(count --since-as-filter=2026-01-01)"

echo "expected: five commits of 2026; still five after a commit dated 1999; six after one more of 2026"
echo "seen:     $before, $newest and $next; the last by git rev-list --count: $counted, by git shortlog: $short"
echo "          with --since-as-filter: $filtered"
if [ "$before $newest $next $counted $short $filtered" != "5 0 1 1 1 6" ]; then
  echo "this is no longer so"
  exit 1
fi
